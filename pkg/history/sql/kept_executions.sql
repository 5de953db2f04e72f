-- Under which time of request executions are known, each looked for between two moments: the one that is said now or,
-- where that is not known, the first other one. LATERAL with LIMIT has each looked for by its key, whatever the planner
-- makes of tables that it knows nothing of yet. The first and the last of the moments are said apart from the ids, so
-- that it thinks of few partitions: with all of them, planning takes many times as long as looking.
SELECT f.n, e.requested_at
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS f (id, at, since, until, n)
CROSS JOIN LATERAL (
    SELECT requested_at FROM executions AS o
    WHERE o.id = f.id::uuid AND o.requested_at >= f.since AND o.requested_at <= f.until AND o.requested_at >= $5 AND o.requested_at <= $6
    ORDER BY o.requested_at = f.at DESC, o.requested_at LIMIT 1
) AS e
