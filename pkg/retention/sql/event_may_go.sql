v.received_at < $1 AND NOT EXISTS (
        SELECT FROM executions AS e
        WHERE e.event_id = v.id AND e.requested_at > v.received_at - interval '1 day' AND e.requested_at < v.received_at + interval '8 days'
          AND (%s) IS NOT TRUE)
