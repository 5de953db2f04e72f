-- Events, what became of them, or both. Of several messages with one event id the first is the event, and of several
-- decisions about it the newest counts. What was decided may be known before the event: then it is not projected.
INSERT INTO events AS e (id, seq, trigger, status, reason, rule_set, payload, payload_raw, source, hops, time, received_at, decided_at, projected)
SELECT id::uuid, coalesce(seq, 0), trigger, status, coalesce(reason, ''), rule_set::uuid, payload::json, payload_raw, coalesce(source, ''),
    coalesce(hops, 0), time, received_at, decided_at, coalesce(projected, false)
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::bigint[],
    $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::boolean[])
  AS f (id, seq, trigger, status, reason, rule_set, payload, payload_raw, source, hops, time, received_at, decided_at, projected)
ORDER BY id
ON CONFLICT (id, received_at) DO UPDATE SET
    seq = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.seq ELSE e.seq END,
    trigger = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.trigger ELSE e.trigger END,
    payload = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.payload ELSE e.payload END,
    payload_raw = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.payload_raw ELSE e.payload_raw END,
    source = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.source ELSE e.source END,
    hops = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.hops ELSE e.hops END,
    time = CASE WHEN NOT e.projected OR excluded.projected AND excluded.seq < e.seq THEN excluded.time ELSE e.time END,
    status = CASE WHEN excluded.decided_at > coalesce(e.decided_at, '-infinity') OR e.decided_at IS NULL THEN excluded.status ELSE e.status END,
    reason = CASE WHEN excluded.decided_at > coalesce(e.decided_at, '-infinity') OR e.decided_at IS NULL THEN excluded.reason ELSE e.reason END,
    rule_set = CASE WHEN excluded.decided_at > coalesce(e.decided_at, '-infinity') THEN excluded.rule_set ELSE e.rule_set END,
    decided_at = greatest(e.decided_at, excluded.decided_at),
    projected = e.projected OR excluded.projected
WHERE excluded.projected AND (NOT e.projected OR excluded.seq < e.seq)
   OR excluded.decided_at > coalesce(e.decided_at, '-infinity')
