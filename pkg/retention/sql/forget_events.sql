-- Events that were decided, with what was decided about them, unless an execution of theirs is still known.
WITH old AS (
    SELECT id, received_at FROM events AS v
    WHERE received_at < $1 AND ($3::timestamptz IS NULL OR (received_at, id) > ($3, $4::uuid))
    ORDER BY received_at, id
    LIMIT $2
), gone AS (
    DELETE FROM events AS v USING old
    WHERE v.id = old.id AND v.status <> 'received' AND NOT EXISTS (SELECT FROM executions AS e WHERE e.event_id = v.id)
    RETURNING v.id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old), last.received_at, last.id::text
FROM (SELECT received_at, id FROM old ORDER BY received_at DESC, id DESC LIMIT 1) AS last
