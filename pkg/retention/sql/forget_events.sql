-- Removes those of a page of events that no execution which is still known came of, with what was decided about them.
WITH old AS (
    SELECT received_at, id FROM %[1]s
    WHERE (received_at, id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
    ORDER BY received_at, id
    LIMIT $2
), gone AS (
    DELETE FROM %[1]s AS v USING old
    WHERE v.id = old.id AND v.received_at = old.received_at
      AND %[3]s
    RETURNING v.id, v.received_at
), decided AS (
    DELETE FROM %[2]s AS d USING gone WHERE d.event_id = gone.id AND d.event_at = gone.received_at
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old), (SELECT received_at FROM old ORDER BY received_at DESC, id DESC LIMIT 1),
    (SELECT id::text FROM old ORDER BY received_at DESC, id DESC LIMIT 1)
