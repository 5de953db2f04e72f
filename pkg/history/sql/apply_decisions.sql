-- Of several decisions of one rule about one event the newest counts.
INSERT INTO decisions AS d (event_id, event_at, rule, outcome, reason, execution_id, action, decided_at)
SELECT event_id::uuid, event_at, rule, outcome, coalesce(reason, ''), execution_id::uuid, coalesce(action, ''), at
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
  AS f (event_id, event_at, rule, outcome, reason, execution_id, action, at)
ORDER BY event_id, rule
ON CONFLICT (event_id, event_at, rule) DO UPDATE SET
    outcome = excluded.outcome, reason = excluded.reason, execution_id = excluded.execution_id, action = excluded.action,
    decided_at = excluded.decided_at
WHERE d.decided_at < excluded.decided_at
