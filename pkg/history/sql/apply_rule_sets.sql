INSERT INTO rule_sets AS s (id, trigger, rules, recorded_at)
SELECT id::uuid, trigger, rules::json, at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS f (id, trigger, rules, at)
ON CONFLICT (id) DO UPDATE SET recorded_at = excluded.recorded_at
WHERE s.recorded_at < excluded.recorded_at
