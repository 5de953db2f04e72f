-- Whether an execution is known that may have come of an event of the partition, but for those that this sweep drops.
SELECT EXISTS (SELECT FROM %[1]s) AND EXISTS (SELECT FROM executions
    WHERE event_id IS NOT NULL AND requested_at >= $1 AND requested_at < $2 AND tableoid::regclass::text <> ALL (coalesce($3::text[], '{}')))
