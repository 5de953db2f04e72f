SELECT id::text, seq, trigger, status, reason, payload, payload_raw, source, hops, time, received_at, decided_at, coalesce(rule_set::text, '') AS rule_set
FROM events
WHERE id = $1 AND received_at >= $2 AND received_at < $3
ORDER BY received_at DESC
LIMIT 1
