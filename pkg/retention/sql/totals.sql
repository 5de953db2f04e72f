-- A page of the logs that are kept, oldest first, added up by action; and the place where it ends.
WITH page AS (
    SELECT action, ended_at, id, log_size(stored_bytes, stdout_bytes, stderr_bytes) AS size
    FROM executions
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0)
      AND (ended_at, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
    ORDER BY ended_at, id
    LIMIT $3
), ending AS (SELECT ended_at, id FROM page ORDER BY ended_at DESC, id DESC LIMIT 1)
SELECT page.action, count(*), sum(page.size)::bigint, min(page.ended_at), max(page.ended_at), ending.ended_at, ending.id::text
FROM page CROSS JOIN ending
GROUP BY page.action, ending.ended_at, ending.id
