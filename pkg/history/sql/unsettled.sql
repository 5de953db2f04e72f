SELECT id::text, action, ended_at
FROM executions
WHERE ended_at IS NOT NULL AND log_settled_at IS NULL
  AND ($1::timestamptz IS NULL OR (ended_at, id) > ($1, $2::uuid))
ORDER BY ended_at, id
LIMIT $3
