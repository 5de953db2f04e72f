-- Executions whose row is all that is left of them, neither a log nor facts on the bus.
WITH old AS (
    SELECT id FROM executions
    WHERE log_settled_at IS NOT NULL
      AND (log_removed_at IS NOT NULL OR (log_bytes = 0 AND stdout_bytes = 0 AND stderr_bytes = 0))
      AND ended_at < $1 AND fact_seqs = '{}' AND announced_attempt = attempt
    ORDER BY ended_at, id
    LIMIT $2
)
DELETE FROM executions AS e USING old WHERE e.id = old.id
