SELECT rule, outcome, reason, coalesce(execution_id::text, '') AS execution_id, action, decided_at
FROM decisions
WHERE event_id = $1 AND event_at = $2
ORDER BY rule
