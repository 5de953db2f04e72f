-- +goose Up

-- History in partitions of a week each, so that what is past retention goes by dropping tables and not row by row.
-- Unique keys hold the time, which never changes: that of the request for executions, that of the stream for events.
-- What is there is copied, which takes as long and as much room as it is large.

-- +goose StatementBegin
-- Makes the partitions of executions, events and decisions that hold a moment, unless they are there. Rows that came
-- before their partition are waiting in the default one and move. It is meant to be called by several at once.
CREATE FUNCTION make_history_partitions(moment timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := date_trunc('week', moment AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    ends   timestamptz := (date_trunc('week', moment AT TIME ZONE 'UTC') + interval '7 days') AT TIME ZONE 'UTC';
    made   integer := 0;
    parent text;
    key    text;
    name   text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('attune history partitions'));
    FOR parent, key IN VALUES ('executions', 'requested_at'), ('events', 'received_at'), ('decisions', 'event_at') LOOP
        name := parent || '_' || to_char(starts AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name, parent);
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= $1 AND %I < $2 RETURNING *) INSERT INTO %I SELECT * FROM moved',
            parent || '_default', key, key, name) USING starts, ends;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, starts, ends);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

ALTER TABLE executions RENAME TO whole_executions;
ALTER TABLE events RENAME TO whole_events;
ALTER TABLE decisions RENAME TO whole_decisions;

CREATE TABLE executions (LIKE whole_executions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS) PARTITION BY RANGE (requested_at);
CREATE TABLE events (LIKE whole_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS) PARTITION BY RANGE (received_at);
CREATE TABLE decisions (LIKE whole_decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS, event_at timestamptz NOT NULL) PARTITION BY RANGE (event_at);
COMMENT ON COLUMN decisions.event_at IS 'received_at of the event';

-- What no partition takes: clocks may be wrong, and a row is never refused.
CREATE TABLE executions_default PARTITION OF executions DEFAULT;
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE decisions_default PARTITION OF decisions DEFAULT;

-- Of a time that cannot be right no partition is made, so that there are not too many of them.
SELECT make_history_partitions(week) FROM (
    SELECT date_trunc('week', requested_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS week FROM whole_executions
    UNION SELECT date_trunc('week', received_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM whole_events
    UNION SELECT generate_series(now(), now() + interval '4 weeks', interval '1 week')
) AS weeks
WHERE week BETWEEN now() - interval '3 years' AND now() + interval '5 weeks'
ORDER BY week;

INSERT INTO executions SELECT * FROM whole_executions;
INSERT INTO events SELECT * FROM whole_events;
INSERT INTO decisions SELECT d.*, e.received_at FROM whole_decisions AS d JOIN whole_events AS e ON e.id = d.event_id;
DROP TABLE whole_decisions, whole_events, whole_executions;

ALTER TABLE events ADD PRIMARY KEY (id, received_at);
CREATE INDEX events_by_time ON events (received_at DESC, id DESC);
CREATE INDEX events_by_trigger ON events (trigger, received_at DESC, id DESC);
CREATE INDEX events_by_pack ON events (split_part(trigger, '.', 1), received_at DESC, id DESC);
CREATE INDEX events_not_decided ON events (status, received_at DESC, id DESC) WHERE status <> 'decided';

-- A decision is written with its event's row and removed with it. A foreign key to a partitioned table would keep its
-- partitions from being dropped.
ALTER TABLE decisions ADD PRIMARY KEY (event_id, event_at, rule);

ALTER TABLE executions ADD PRIMARY KEY (id, requested_at);
CREATE INDEX executions_by_time ON executions (requested_at DESC, id DESC);
CREATE INDEX executions_by_action ON executions (action, requested_at DESC, id DESC);
CREATE INDEX executions_by_pack ON executions (split_part(action, '.', 1), requested_at DESC, id DESC);
CREATE INDEX executions_by_rule ON executions (rule, requested_at DESC, id DESC) WHERE rule IS NOT NULL;
CREATE INDEX executions_by_event ON executions (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX executions_unfinished ON executions (status, requested_at DESC, id DESC) WHERE status IN ('requested', 'running', 'canceling');
-- What did not succeed is looked for, among what did, by action, by pack and by rule too. There is little of it.
CREATE INDEX executions_unsuccessful ON executions (status, requested_at DESC, id DESC)
    WHERE status IN ('failed', 'timed_out', 'canceled', 'lost');
CREATE INDEX executions_unsuccessful_by_action ON executions (action, status, requested_at DESC, id DESC)
    WHERE status IN ('failed', 'timed_out', 'canceled', 'lost');
CREATE INDEX executions_unsuccessful_by_pack ON executions (split_part(action, '.', 1), status, requested_at DESC, id DESC)
    WHERE status IN ('failed', 'timed_out', 'canceled', 'lost');
CREATE INDEX executions_unsuccessful_by_rule ON executions (rule, status, requested_at DESC, id DESC)
    WHERE status IN ('failed', 'timed_out', 'canceled', 'lost') AND rule IS NOT NULL;
CREATE INDEX executions_to_announce ON executions (ended_at) WHERE ended_at IS NOT NULL AND announced_attempt < attempt;
CREATE INDEX executions_with_facts ON executions (stream_epoch, recorded_at) WHERE ended_at IS NOT NULL AND fact_seqs <> '{}';
CREATE INDEX executions_to_settle ON executions (ended_at, id) WHERE ended_at IS NOT NULL AND log_settled_at IS NULL;
CREATE INDEX executions_with_log ON executions (ended_at, id) INCLUDE (action, stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);
CREATE INDEX executions_with_log_by_action ON executions (action, ended_at, id) INCLUDE (stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);

CREATE TRIGGER executions_transition AFTER UPDATE OF status, attempt ON executions
    FOR EACH ROW WHEN (NEW.status <> OLD.status OR NEW.attempt <> OLD.attempt) EXECUTE FUNCTION executions_refuse_transition();

-- +goose Down
ALTER TABLE executions RENAME TO parts_of_executions;
ALTER TABLE events RENAME TO parts_of_events;
ALTER TABLE decisions RENAME TO parts_of_decisions;
CREATE TABLE executions (LIKE parts_of_executions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS);
CREATE TABLE events (LIKE parts_of_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS);
CREATE TABLE decisions (LIKE parts_of_decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS);
INSERT INTO executions SELECT * FROM parts_of_executions;
INSERT INTO events SELECT * FROM parts_of_events;
INSERT INTO decisions SELECT * FROM parts_of_decisions AS d WHERE EXISTS (SELECT FROM parts_of_events AS e WHERE e.id = d.event_id AND e.received_at = d.event_at);
ALTER TABLE decisions DROP COLUMN event_at;
DROP TABLE parts_of_decisions, parts_of_events, parts_of_executions;
DROP FUNCTION make_history_partitions;
ALTER TABLE executions ADD PRIMARY KEY (id);
ALTER TABLE events ADD PRIMARY KEY (id);
ALTER TABLE decisions ADD PRIMARY KEY (event_id, rule), ADD FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE;
CREATE INDEX events_by_time ON events (received_at DESC, id DESC);
CREATE INDEX events_by_trigger ON events (trigger, received_at DESC, id DESC);
CREATE INDEX executions_by_time ON executions (requested_at DESC, id DESC);
CREATE INDEX executions_by_action ON executions (action, requested_at DESC, id DESC);
CREATE INDEX executions_by_rule ON executions (rule, requested_at DESC, id DESC) WHERE rule IS NOT NULL;
CREATE INDEX executions_by_event ON executions (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX executions_unsuccessful ON executions (status, requested_at DESC, id DESC) WHERE status <> 'succeeded';
CREATE INDEX executions_to_announce ON executions (ended_at) WHERE ended_at IS NOT NULL AND announced_attempt < attempt;
CREATE INDEX executions_with_facts ON executions (recorded_at) WHERE ended_at IS NOT NULL AND fact_seqs <> '{}';
CREATE INDEX executions_to_settle ON executions (ended_at, id) WHERE ended_at IS NOT NULL AND log_settled_at IS NULL;
CREATE INDEX executions_with_log ON executions (ended_at, id) INCLUDE (action, stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);
CREATE INDEX executions_with_log_by_action ON executions (action, ended_at, id) INCLUDE (stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);
CREATE INDEX executions_without_log ON executions (ended_at, id)
    WHERE log_settled_at IS NOT NULL AND (log_removed_at IS NOT NULL OR (log_bytes = 0 AND stdout_bytes = 0 AND stderr_bytes = 0));
CREATE TRIGGER executions_transition BEFORE UPDATE OF status, attempt ON executions
    FOR EACH ROW EXECUTE FUNCTION executions_refuse_transition();
