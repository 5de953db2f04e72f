-- Which events are known under the time that is said of them now; see known_executions.sql.
SELECT f.n, f.at
FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS f (id, at, n)
CROSS JOIN LATERAL (
    SELECT FROM events AS o WHERE o.id = f.id::uuid AND o.received_at = f.at AND o.received_at >= $3 AND o.received_at <= $4 LIMIT 1
) AS e
