-- Under which time of arrival events are known: the one that is said now or, where that is not known, the first other
-- one between two moments; see known_executions.sql.
SELECT f.n, e.received_at
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS f (id, at, n)
CROSS JOIN LATERAL (
    SELECT received_at FROM events AS o WHERE o.id = f.id::uuid AND o.received_at >= $3 AND o.received_at <= $4
    ORDER BY o.received_at = f.at DESC, o.received_at LIMIT 1
) AS e
