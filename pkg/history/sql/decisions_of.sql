SELECT rule, outcome, reason, coalesce(execution_id::text, '') AS execution_id, action, decided_at
FROM decisions
WHERE event_id = $1
ORDER BY rule
