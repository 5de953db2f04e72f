-- Removes those of a page of executions whose row is all that is left of them, neither a log nor facts on the bus.
WITH old AS (
    SELECT requested_at, id FROM %[1]s
    WHERE (requested_at, id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
    ORDER BY requested_at, id
    LIMIT $2
), gone AS (
    DELETE FROM %[1]s AS v USING old
    WHERE v.id = old.id AND v.requested_at = old.requested_at
      AND %[3]s
    RETURNING v.id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old), (SELECT requested_at FROM old ORDER BY requested_at DESC, id DESC LIMIT 1),
    (SELECT id::text FROM old ORDER BY requested_at DESC, id DESC LIMIT 1)
