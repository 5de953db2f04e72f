-- The logs of a partition that are kept, added up by action, from an index alone.
SELECT action, count(*), sum(log_size(stored_bytes, stdout_bytes, stderr_bytes))::bigint, min(ended_at), max(ended_at)
FROM %s
WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0)
GROUP BY action
