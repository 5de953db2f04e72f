-- Under which time of arrival events are known; see kept_executions.sql.
SELECT f.n, e.received_at
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS f (id, at, since, until, n)
CROSS JOIN LATERAL (
    SELECT received_at FROM events AS o
    WHERE o.id = f.id::uuid AND o.received_at >= f.since AND o.received_at <= f.until AND o.received_at >= $5 AND o.received_at <= $6
    ORDER BY o.received_at = f.at DESC, o.received_at LIMIT 1
) AS e
