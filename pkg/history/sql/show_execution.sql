SELECT id::text, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, key, slot_limit, pool,
       coalesce(rule, '') AS rule, coalesce(event_id::text, '') AS event_id, coalesce(retry_of::text, '') AS retry_of, hops,
       parameters, runner, started_at, ended_at, exit_code, signal, result,
       coalesce(error_class, '') AS error_class, coalesce(error_message, '') AS error_message,
       stdout_bytes, stderr_bytes, output_truncated, output_held, canceled_by,
       priority, not_before, previous, terms, log_bytes, stored_bytes, log_incomplete, log_settled_at, log_removed_at, log_removed_by, dropped_bytes
FROM executions
WHERE id = $1 AND requested_at >= $2 AND requested_at < $3
ORDER BY requested_at DESC
LIMIT 1
