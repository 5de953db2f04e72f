-- A page of the logs of an action that are kept, oldest first.
SELECT id::text, action, ended_at, log_size(stored_bytes, stdout_bytes, stderr_bytes) AS size
FROM executions
WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0)
  AND action = $4
  AND ($1::timestamptz IS NULL OR (ended_at, id) > ($1, $2::uuid))
ORDER BY ended_at, id
LIMIT $3
