-- Executions that are known, but under another time of request than these facts say: what was requested twice, since
-- neither the bus nor history could tell. Each id is looked for between two moments. LIMIT keeps the planner from
-- reading whole tables.
SELECT f.n, e.requested_at
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS f (id, at, since, until, n)
LEFT JOIN LATERAL (SELECT true AS known FROM executions AS o WHERE o.id = f.id::uuid AND o.requested_at = f.at LIMIT 1) AS own ON true
CROSS JOIN LATERAL (
    SELECT requested_at FROM executions AS o
    WHERE own.known IS NULL AND o.id = f.id::uuid AND o.requested_at >= f.since AND o.requested_at < f.until
    ORDER BY requested_at LIMIT 1
) AS e
