-- What became of events. The event's own row may come later: until then its time is that of the decision.
INSERT INTO events AS e (id, seq, trigger, status, reason, time, received_at, decided_at, projected)
SELECT id::uuid, seq, trigger, status, reason, at, at, at, false
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS f (id, seq, trigger, status, reason, at)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, reason = excluded.reason, decided_at = excluded.decided_at,
    seq = CASE WHEN e.projected THEN e.seq ELSE excluded.seq END,
    trigger = CASE WHEN e.projected THEN e.trigger ELSE excluded.trigger END,
    time = CASE WHEN e.projected THEN e.time ELSE excluded.time END,
    received_at = CASE WHEN e.projected THEN e.received_at ELSE excluded.received_at END
WHERE e.decided_at IS NULL OR e.decided_at < excluded.decided_at
