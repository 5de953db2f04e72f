-- Under which time of request executions are known: the one that is said now or, where that is not known, the first other
-- one between two moments; see known_executions.sql.
SELECT f.n, e.requested_at
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS f (id, at, n)
CROSS JOIN LATERAL (
    SELECT requested_at FROM executions AS o WHERE o.id = f.id::uuid AND o.requested_at >= $3 AND o.requested_at <= $4
    ORDER BY o.requested_at = f.at DESC, o.requested_at LIMIT 1
) AS e
