-- A set is recorded again on each day on which events are decided by it, so one that was last recorded days before the oldest
-- event is of none.
DELETE FROM rule_sets
WHERE recorded_at < least($1, (SELECT min(received_at) FROM events)) - interval '3 days'
