-- A page of the logs that are kept, of all actions, oldest first.
SELECT id::text, requested_at, action, ended_at, log_size(stored_bytes, stdout_bytes, stderr_bytes) AS size
FROM executions
WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0)
  AND (ended_at, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY ended_at, id
LIMIT $3
