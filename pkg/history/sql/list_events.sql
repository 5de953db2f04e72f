-- A page of events that a statement gives.
SELECT id::text, seq, trigger, status, reason,
       CASE WHEN octet_length(payload::text) <= 8192 THEN payload END AS payload, NULL::bytea AS payload_raw,
       source, hops, time, received_at, decided_at, '' AS rule_set
FROM %s AS page
ORDER BY received_at DESC, page.id DESC
