-- A row becomes the newest of its facts, by attempt and then by rank; one of the same rank but another status
-- is let through to the trigger, which refuses it. Parameters come from any requested fact. Which facts are
-- still on the stream is the union of all, as long as the stream is the same one. Numbers come as bigint so that
-- it is the database that refuses those out of range. What most executions have none of comes as NULL, so that columns of it
-- alone need not come at all.
INSERT INTO executions AS e (id, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, key, slot_limit, pool,
    rule, event_id, retry_of, hops, parameters, runner, started_at, ended_at, exit_code, signal, result, error_class, error_message,
    stdout_bytes, stderr_bytes, output_truncated, output_held, canceled_by, priority, not_before, previous, terms,
    log_bytes, stored_bytes, log_incomplete, log_settled_at, dropped_bytes, announced_attempt, stream_epoch, fact_seqs)
SELECT id::uuid, action, coalesce(pack_digest, ''), status, attempt, changed_at, requested_at, coalesce(requested_by, ''), coalesce(key, ''),
    coalesce(slot_limit, 0), coalesce(pool, ''), rule, event_id::uuid, retry_of::uuid, coalesce(hops, 0), parameters::json, coalesce(runner, ''),
    started_at, ended_at, exit_code, coalesce(signal, ''), result::json, error_class, error_message, coalesce(stdout_bytes, 0),
    coalesce(stderr_bytes, 0), coalesce(output_truncated, false), coalesce(output_held, false), coalesce(canceled_by, ''),
    coalesce(priority, 'normal'), not_before, coalesce(previous, '[]')::json, coalesce(terms, '{}')::json, coalesce(log_bytes, 0),
    coalesce(stored_bytes, 0), coalesce(log_incomplete, false), log_settled_at, coalesce(dropped_bytes, 0),
    CASE WHEN ended_at IS NULL OR $40::boolean THEN 0 ELSE attempt END, $41::bigint, fact_seqs::bigint[]
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[],
    $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::text[], $17::text[], $18::timestamptz[],
    $19::timestamptz[], $20::bigint[], $21::text[], $22::text[], $23::text[], $24::text[], $25::bigint[], $26::bigint[],
    $27::boolean[], $28::boolean[], $29::text[], $30::text[], $31::timestamptz[], $32::text[], $33::text[], $34::text[], $35::bigint[],
    $36::bigint[], $37::boolean[], $38::timestamptz[], $39::bigint[])
  AS f (id, action, pack_digest, status, attempt, changed_at, requested_at, requested_by, key, slot_limit, pool,
    rule, event_id, retry_of, hops, parameters, runner, started_at, ended_at, exit_code, signal, result, error_class, error_message,
    stdout_bytes, stderr_bytes, output_truncated, output_held, canceled_by, priority, not_before, previous, terms, fact_seqs,
    log_bytes, stored_bytes, log_incomplete, log_settled_at, dropped_bytes)
ORDER BY id
ON CONFLICT (id, requested_at) DO UPDATE SET
    action = excluded.action, pack_digest = excluded.pack_digest, status = excluded.status, attempt = excluded.attempt,
    changed_at = excluded.changed_at, requested_by = excluded.requested_by, key = excluded.key,
    slot_limit = excluded.slot_limit, pool = excluded.pool, rule = excluded.rule, event_id = excluded.event_id,
    retry_of = excluded.retry_of, hops = excluded.hops, parameters = coalesce(excluded.parameters, e.parameters),
    runner = excluded.runner, started_at = excluded.started_at, ended_at = excluded.ended_at, exit_code = excluded.exit_code,
    signal = excluded.signal, result = excluded.result, error_class = excluded.error_class, error_message = excluded.error_message,
    stdout_bytes = excluded.stdout_bytes, stderr_bytes = excluded.stderr_bytes, output_truncated = excluded.output_truncated,
    output_held = excluded.output_held, canceled_by = excluded.canceled_by,
    priority = excluded.priority, not_before = excluded.not_before, previous = excluded.previous, terms = excluded.terms,
    log_bytes = excluded.log_bytes, stored_bytes = excluded.stored_bytes, log_incomplete = excluded.log_incomplete,
    log_settled_at = excluded.log_settled_at, dropped_bytes = excluded.dropped_bytes,
    announced_attempt = greatest(e.announced_attempt, excluded.announced_attempt),
    stream_epoch = greatest(e.stream_epoch, excluded.stream_epoch),
    fact_seqs = CASE WHEN excluded.stream_epoch > e.stream_epoch THEN excluded.fact_seqs
                     WHEN excluded.stream_epoch < e.stream_epoch THEN e.fact_seqs
                     WHEN e.fact_seqs[cardinality(e.fact_seqs)] < excluded.fact_seqs[1] THEN e.fact_seqs || excluded.fact_seqs
                     ELSE union_seqs(e.fact_seqs, excluded.fact_seqs) END,
    recorded_at = now()
WHERE (excluded.attempt, execution_rank(excluded.status)) > (e.attempt, execution_rank(e.status))
   OR (excluded.attempt = e.attempt AND execution_rank(excluded.status) = execution_rank(e.status) AND excluded.status <> e.status)
