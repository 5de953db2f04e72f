UPDATE executions AS e
SET fact_seqs = ARRAY (SELECT unnest(e.fact_seqs) EXCEPT SELECT unnest(f.seqs::bigint[]) ORDER BY 1)
FROM unnest($1::text[], $2::text[]) AS f (id, seqs)
WHERE e.id = f.id::uuid AND e.stream_epoch = $3
