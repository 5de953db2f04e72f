-- Which executions are known under the time that is said of them now.
-- LATERAL with LIMIT has each looked for by its key, whatever the planner makes of tables that it knows nothing of yet. The
-- first and the last of all times are said apart, so that it thinks of few partitions: with all of them, planning takes many
-- times as long as looking.
SELECT f.n, f.at
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS f (id, at, n)
CROSS JOIN LATERAL (
    SELECT FROM executions AS o WHERE o.id = f.id::uuid AND o.requested_at = f.at AND o.requested_at >= $3 AND o.requested_at <= $4 LIMIT 1
) AS e
