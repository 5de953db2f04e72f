-- A page of executions that have not ended that a statement gives.
SELECT id::text, action, status, attempt, requested_at
FROM %s AS page
ORDER BY requested_at DESC, page.id DESC
