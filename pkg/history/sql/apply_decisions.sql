-- Of several decisions of one rule about one event the newest counts.
INSERT INTO decisions AS d (event_id, rule, outcome, reason, execution_id, action, decided_at)
SELECT event_id::uuid, rule, outcome, reason, execution_id::uuid, action, at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
  AS f (event_id, rule, outcome, reason, execution_id, action, at)
ORDER BY event_id, rule
ON CONFLICT (event_id, rule) DO UPDATE SET
    outcome = excluded.outcome, reason = excluded.reason, execution_id = excluded.execution_id, action = excluded.action,
    decided_at = excluded.decided_at
WHERE d.decided_at < excluded.decided_at
