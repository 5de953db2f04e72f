-- Events that are known, but under another time than these messages say, each looked for between two moments: what was
-- published twice under one id. LIMIT keeps the planner from reading whole tables.
SELECT f.n, e.received_at
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS f (id, at, since, until, n)
LEFT JOIN LATERAL (SELECT true AS known FROM events AS o WHERE o.id = f.id::uuid AND o.received_at = f.at LIMIT 1) AS own ON true
CROSS JOIN LATERAL (
    SELECT received_at FROM events AS o
    WHERE own.known IS NULL AND o.id = f.id::uuid AND o.received_at >= f.since AND o.received_at < f.until
    ORDER BY received_at LIMIT 1
) AS e
