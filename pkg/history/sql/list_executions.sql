SELECT id::text, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, key, slot_limit, pool,
       coalesce(rule, '') AS rule, coalesce(event_id::text, '') AS event_id, coalesce(retry_of::text, '') AS retry_of, hops,
       CASE WHEN octet_length(parameters::text) <= 8192 THEN parameters END AS parameters,
       runner, started_at, ended_at, exit_code, signal,
       CASE WHEN octet_length(result::text) <= 8192 THEN result END AS result,
       coalesce(error_class, '') AS error_class, coalesce(error_message, '') AS error_message,
       stdout_bytes, stderr_bytes, output_truncated, output_held, canceled_by,
       priority, not_before, previous, terms, log_bytes, stored_bytes, log_incomplete, log_settled_at, log_removed_at, log_removed_by, dropped_bytes
FROM executions
WHERE ($1::text IS NULL OR action = $1)
  AND ($2::text[] IS NULL OR status = ANY ($2))
  AND ($3::text IS NULL OR rule = $3)
  AND ($4::uuid IS NULL OR event_id = $4)
  AND ($5::timestamptz IS NULL OR requested_at >= $5)
  AND ($6::timestamptz IS NULL OR requested_at < $6)
  AND ($7::timestamptz IS NULL OR (requested_at, id) < ($7, $8::uuid))
  AND ($9::text[] IS NULL OR split_part(action, '.', 1) = ANY ($9))
ORDER BY requested_at DESC, id DESC
LIMIT $10
