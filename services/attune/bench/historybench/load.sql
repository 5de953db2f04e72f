-- Rows $1 to $2 of $5, the first at $3 and one each $4.
INSERT INTO events (id, seq, trigger, status, reason, payload, source, time, received_at, decided_at, projected)
SELECT overlay(md5('event' || n) PLACING '5' FROM 13 FOR 1)::uuid, n,
    CASE WHEN n % 500000 = 17 THEN 'rare.trigger' ELSE format('pack%s.trigger%s', t / 5, t) END,
    status, CASE WHEN status = 'rejected' THEN 'payload: host: is required' ELSE '' END,
    format('{"host":"web%s.example.org","check":"http","state":"critical","since":"2026-01-01T00:00:00Z","attempt":%s}', n % 1000, n)::json,
    'nats', at, at, CASE WHEN status = 'decided' THEN at + interval '3 ms' END, true
FROM (
    SELECT n, $3::timestamptz + n * $4::interval AS at, floor(100 * power(random(), 2))::int AS t,
        CASE WHEN n % 10000 = 3 THEN 'rejected' WHEN n > $5::int - 50 THEN 'received' ELSE 'decided' END AS status
    FROM generate_series($1::int, $2::int) AS n
) AS made;
INSERT INTO decisions (event_id, event_at, rule, outcome, reason, execution_id, action, decided_at)
SELECT overlay(md5('event' || n) PLACING '5' FROM 13 FOR 1)::uuid, at, format('pack%s.rule%s', n % 20, n % 100),
    CASE WHEN n % 5 = 0 THEN 'not_matched' ELSE 'matched' END, CASE WHEN n % 5 = 0 THEN 'event.payload.state == "ok" is false' ELSE '' END,
    CASE WHEN n % 5 <> 0 THEN overlay(md5('execution' || n) PLACING '5' FROM 13 FOR 1)::uuid END, 'pack0.action0', at + interval '3 ms'
FROM (SELECT n, $3::timestamptz + n * $4::interval AS at FROM generate_series($1::int, $2::int) AS n WHERE $5::int > 0) AS made;
-- Three quarters are of actions that never fail, a fifth of the others fails. Two thousand have not ended, and some older
-- ones. Four fifths come from rules, with an id that is derived. Logs are gone after ten days.
INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, pool, rule, event_id, parameters, runner,
    started_at, ended_at, exit_code, result, error_class, error_message, stdout_bytes, log_bytes, stored_bytes, log_settled_at,
    log_removed_at, log_removed_by, announced_attempt, stream_epoch, fact_seqs, recorded_at)
SELECT CASE WHEN derived THEN overlay(md5('execution' || n) PLACING '5' FROM 13 FOR 1)
        ELSE overlay(overlay(md5('execution' || n) PLACING '7' FROM 13 FOR 1) PLACING lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') FROM 1 FOR 12) END::uuid,
    CASE WHEN n % 500000 = 17 THEN 'rare.action' ELSE format('pack%s.action%s', a / 10, a) END, 'sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    status, 1, at + interval '90 ms', at, CASE WHEN derived THEN 'rules' ELSE 'token:deploy' END, 'default',
    CASE WHEN n % 1000000 = 21 THEN 'rare.rule' WHEN derived THEN format('pack%s.rule%s', n % 20, n % 100) END,
    CASE WHEN derived THEN overlay(md5('event' || n) PLACING '5' FROM 13 FOR 1)::uuid END,
    format('{"host":"web%s.example.org","service":"nginx","timeout":30,"reason":"check http is critical","ticket":%s}', n % 1000, n)::json,
    CASE WHEN status = 'requested' THEN '' ELSE 'runner-1-0123456789abcdef' END,
    CASE WHEN status <> 'requested' THEN at + interval '10 ms' END, CASE WHEN ended THEN at + interval '90 ms' END,
    CASE status WHEN 'succeeded' THEN 0 WHEN 'failed' THEN 1 END, CASE WHEN status = 'succeeded' THEN '{"changed":true,"restarted":["nginx"]}'::json END,
    CASE WHEN ended AND status <> 'succeeded' THEN 'exit_status' END, CASE WHEN ended AND status <> 'succeeded' THEN 'exit status 1' END,
    CASE WHEN ended THEN 300 ELSE 0 END, CASE WHEN ended THEN 300 ELSE 0 END, CASE WHEN ended THEN 180 ELSE 0 END, CASE WHEN ended THEN at + interval '90 ms' END,
    CASE WHEN ended AND old THEN at + interval '10 days' END, CASE WHEN ended AND old THEN 'age 10d' ELSE '' END, CASE WHEN ended THEN 1 ELSE 0 END, 1, '{}', at + interval '150 ms'
FROM (
    SELECT *, status NOT IN ('requested', 'running') AS ended, n % 5 <> 0 AS derived, n < $5 * 2 / 3 AS old
    FROM (
        SELECT n, a, at, CASE
            WHEN n >= $5::int - 1000 OR n % 1000000 = 33 THEN 'requested' WHEN n >= $5 - 2000 OR n % 500000 = 34 THEN 'running'
            WHEN a < 100 OR r < 0.8 THEN 'succeeded' WHEN r < 0.95 THEN 'failed' WHEN r < 0.98 THEN 'timed_out' WHEN r < 0.999 THEN 'canceled' ELSE 'lost' END AS status
        FROM (
            SELECT n, floor(200 * power(random(), 2.5))::int AS a, random() AS r, $3::timestamptz + n * $4::interval AS at
            FROM generate_series($1::int, $2::int) AS n
        ) AS chance
    ) AS with_status
) AS made
