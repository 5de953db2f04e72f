UPDATE executions AS e SET log_removed_at = now(), log_removed_by = f.by
FROM unnest($1::text[], $2::text[]) AS f (id, by)
WHERE e.id = f.id::uuid AND e.log_settled_at IS NOT NULL AND e.log_removed_at IS NULL
