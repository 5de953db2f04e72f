UPDATE executions AS e SET log_removed_at = now(), log_removed_by = f.by
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS f (id, by, requested_at)
WHERE e.id = f.id::uuid AND e.requested_at = f.requested_at AND e.log_settled_at IS NOT NULL AND e.log_removed_at IS NULL
