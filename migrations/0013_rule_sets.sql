-- +goose Up

-- Which rules were asked about events. Of a rule of its set that an event has no row in decisions of, it was decided that it
-- does not match; why follows from the rule's criteria and the event.
CREATE TABLE rule_sets (
    id          uuid PRIMARY KEY, -- made of trigger and rules
    trigger     text NOT NULL,
    rules       json NOT NULL, -- [{"rule", "when", "disabled"}]
    recorded_at timestamptz NOT NULL -- at the latest a day before the last decision that names it
);
ALTER TABLE events ADD COLUMN rule_set uuid;
COMMENT ON COLUMN events.rule_set IS 'the rules that were asked; NULL: those in decisions';

-- +goose Down
INSERT INTO decisions (event_id, event_at, rule, outcome, reason, decided_at)
SELECT e.id, e.received_at, r ->> 'rule', 'not_matched', 'its criteria are false', coalesce(e.decided_at, e.received_at)
FROM events AS e JOIN rule_sets AS s ON s.id = e.rule_set CROSS JOIN json_array_elements(s.rules) AS r
ON CONFLICT DO NOTHING;
ALTER TABLE events DROP COLUMN rule_set;
DROP TABLE rule_sets;
