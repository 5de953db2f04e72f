-- Of several messages with one event id the first is the event. What was decided about it stays.
INSERT INTO events AS e (id, seq, trigger, status, reason, payload, payload_raw, source, hops, time, received_at, projected)
SELECT id::uuid, seq, trigger, status, reason, payload::json, payload_raw, source, hops, time, received_at, true
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::bigint[],
    $10::timestamptz[], $11::timestamptz[])
  AS f (id, seq, trigger, status, reason, payload, payload_raw, source, hops, time, received_at)
ORDER BY id
ON CONFLICT (id, received_at) DO UPDATE SET
    seq = excluded.seq, trigger = excluded.trigger, payload = excluded.payload, payload_raw = excluded.payload_raw,
    source = excluded.source, hops = excluded.hops, time = excluded.time, projected = true,
    status = CASE WHEN e.decided_at IS NULL THEN excluded.status ELSE e.status END,
    reason = CASE WHEN e.decided_at IS NULL THEN excluded.reason ELSE e.reason END
WHERE NOT e.projected OR (excluded.received_at, excluded.seq) < (e.received_at, e.seq)
