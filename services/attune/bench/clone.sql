-- Rows like those of some executions, with their events and decisions, once for each number from $2 to $3. Whatever
-- columns there are, they get the values of the rows that they are like; only ids are new, and the facts of the new ones
-- are gone from their stream, as those of old executions are.
WITH like_these AS (
    SELECT id, event_id FROM executions WHERE id = ANY($1::uuid[])
), new_events AS (
    INSERT INTO events
    SELECT r.* FROM events AS e, generate_series($2::int, $3::int) AS n,
        LATERAL jsonb_populate_record(e, jsonb_build_object('id', md5(e.id::text || n)::uuid)) AS r
    WHERE e.id IN (SELECT event_id FROM like_these)
), new_decisions AS (
    INSERT INTO decisions
    SELECT r.* FROM decisions AS d, generate_series($2::int, $3::int) AS n,
        LATERAL jsonb_populate_record(d, jsonb_build_object(
            'event_id', md5(d.event_id::text || n)::uuid, 'execution_id', md5(d.execution_id::text || n)::uuid
        )) AS r
    WHERE d.event_id IN (SELECT event_id FROM like_these)
)
INSERT INTO executions
SELECT r.* FROM executions AS x, generate_series($2::int, $3::int) AS n,
    LATERAL jsonb_populate_record(x, jsonb_build_object(
        'id', md5(x.id::text || n)::uuid, 'event_id', md5(x.event_id::text || n)::uuid, 'fact_seqs', '[]'::jsonb
    )) AS r
WHERE x.id IN (SELECT id FROM like_these);
