SELECT id::text, requested_at, fact_seqs
FROM executions
WHERE ended_at IS NOT NULL AND fact_seqs <> '{}' AND stream_epoch = $1 AND recorded_at < now() - $2::interval
  AND announced_attempt = attempt
ORDER BY recorded_at
LIMIT $3
