SELECT id::text, seq, trigger, status, reason,
       CASE WHEN octet_length(payload::text) <= 8192 THEN payload END AS payload, NULL::bytea AS payload_raw,
       source, hops, time, received_at, decided_at
FROM events
WHERE ($1::text IS NULL OR trigger = $1)
  AND ($2::text IS NULL OR status = $2)
  AND ($3::timestamptz IS NULL OR received_at >= $3)
  AND ($4::timestamptz IS NULL OR received_at < $4)
  AND ($5::timestamptz IS NULL OR (received_at, id) < ($5, $6::uuid))
  AND ($7::text[] IS NULL OR split_part(trigger, '.', 1) = ANY ($7))
ORDER BY received_at DESC, id DESC
LIMIT $8
