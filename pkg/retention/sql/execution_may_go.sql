v.ended_at < $1 AND v.log_settled_at IS NOT NULL
      AND (v.log_removed_at IS NOT NULL OR (v.log_bytes = 0 AND v.stdout_bytes = 0 AND v.stderr_bytes = 0))
      AND v.fact_seqs = '{}' AND v.announced_attempt = v.attempt
