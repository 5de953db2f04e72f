-- Facts that came after newer ones still bring what only they have: the parameters, and their place on the stream.
UPDATE executions AS e SET
    parameters = coalesce(e.parameters, f.parameters::json),
    stream_epoch = greatest(e.stream_epoch, $5::bigint),
    fact_seqs = CASE WHEN $5 > e.stream_epoch THEN f.fact_seqs::bigint[]
                     WHEN $5 < e.stream_epoch THEN e.fact_seqs
                     ELSE union_seqs(e.fact_seqs, f.fact_seqs::bigint[]) END
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) AS f (id, requested_at, parameters, fact_seqs)
WHERE e.id = f.id::uuid AND e.requested_at = f.requested_at
  AND (e.parameters IS NULL AND f.parameters IS NOT NULL
    OR $5 > e.stream_epoch
    OR $5 = e.stream_epoch AND NOT e.fact_seqs @> f.fact_seqs::bigint[])
