SELECT count(*)
FROM executions
WHERE status IN ('requested', 'running', 'canceling')
  AND ($1::text IS NULL OR action = $1)
  AND ($2::text IS NULL OR rule = $2)
  AND ($3::text[] IS NULL OR status = ANY ($3))
  AND ($4::timestamptz IS NULL OR requested_at < $4)
  AND ($5::timestamptz IS NULL OR (requested_at, id) < ($5, $6::uuid))
  AND ($7::text[] IS NULL OR split_part(action, '.', 1) = ANY ($7))
