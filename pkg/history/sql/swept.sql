UPDATE executions AS e
SET fact_seqs = CASE WHEN e.fact_seqs <@ f.seqs::bigint[] THEN '{}'
                     ELSE ARRAY (SELECT unnest(e.fact_seqs) EXCEPT SELECT unnest(f.seqs::bigint[]) ORDER BY 1) END
FROM unnest($1::text[], $2::text[], $4::timestamptz[]) AS f (id, seqs, requested_at)
WHERE e.id = f.id::uuid AND e.requested_at = f.requested_at AND e.stream_epoch = $3
