SELECT id::text, seq, trigger, status, reason, payload, payload_raw, source, hops, time, received_at, decided_at
FROM events
WHERE id = $1
