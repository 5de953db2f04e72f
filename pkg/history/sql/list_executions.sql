-- A page of executions that a statement gives.
SELECT id::text, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, key, slot_limit, pool,
       coalesce(rule, '') AS rule, coalesce(event_id::text, '') AS event_id, coalesce(retry_of::text, '') AS retry_of, hops,
       CASE WHEN octet_length(parameters::text) <= 8192 THEN parameters END AS parameters,
       runner, started_at, ended_at, exit_code, signal,
       CASE WHEN octet_length(result::text) <= 8192 THEN result END AS result,
       coalesce(error_class, '') AS error_class, coalesce(error_message, '') AS error_message,
       stdout_bytes, stderr_bytes, output_truncated, output_held, canceled_by,
       priority, not_before, previous, terms, log_bytes, stored_bytes, log_incomplete, log_settled_at, log_removed_at, log_removed_by, dropped_bytes
FROM %s AS page
ORDER BY requested_at DESC, page.id DESC
