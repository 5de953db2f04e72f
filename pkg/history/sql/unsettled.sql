SELECT id::text, requested_at, action, ended_at
FROM executions
WHERE ended_at IS NOT NULL AND log_settled_at IS NULL
  AND (ended_at, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY ended_at, id
LIMIT $3
