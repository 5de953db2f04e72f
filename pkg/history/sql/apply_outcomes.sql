-- What became of events. The event's own row may come later.
INSERT INTO events AS e (id, seq, trigger, status, reason, rule_set, time, received_at, decided_at, projected)
SELECT id::uuid, seq, trigger, status, reason, rule_set::uuid, received_at, received_at, at, false
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
  AS f (id, seq, trigger, status, reason, rule_set, at, received_at)
ORDER BY id
ON CONFLICT (id, received_at) DO UPDATE SET
    status = excluded.status, reason = excluded.reason, rule_set = excluded.rule_set, decided_at = excluded.decided_at,
    seq = CASE WHEN e.projected THEN e.seq ELSE excluded.seq END,
    trigger = CASE WHEN e.projected THEN e.trigger ELSE excluded.trigger END
WHERE e.decided_at IS NULL OR e.decided_at < excluded.decided_at
