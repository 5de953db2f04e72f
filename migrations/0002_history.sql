-- +goose Up

-- History: what the recorder projects from the streams. Rows are merged, never replaced blindly, so the
-- streams may be read again from any place, in any order between them, and give the same rows.

CREATE TABLE events (
    id          uuid PRIMARY KEY,
    seq         bigint NOT NULL CHECK (seq >= 0),
    trigger     text NOT NULL CHECK (length(trigger) <= 260),
    status      text NOT NULL CHECK (status IN ('received', 'decided', 'rejected')),
    reason      text NOT NULL DEFAULT '',
    payload     json,
    payload_raw bytea,            -- the first bytes of what was published, when it is not JSON
    source      text NOT NULL DEFAULT '',
    hops        integer NOT NULL DEFAULT 0 CHECK (hops >= 0),
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    decided_at  timestamptz,      -- of the newest decision that is known
    projected   boolean NOT NULL, -- false: only a decision about this event has been seen so far
    CHECK (status <> 'decided' OR decided_at IS NOT NULL),
    CHECK (status <> 'rejected' OR reason <> ''),
    CHECK (payload IS NULL OR payload_raw IS NULL),
    CHECK (NOT projected OR payload IS NOT NULL OR payload_raw IS NOT NULL)
);
CREATE INDEX events_by_time ON events (received_at DESC, id DESC);
CREATE INDEX events_by_trigger ON events (trigger, received_at DESC, id DESC);

CREATE TABLE decisions (
    event_id     uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    rule         text NOT NULL CHECK (length(rule) <= 260),
    outcome      text NOT NULL CHECK (outcome IN ('matched', 'not_matched', 'error')),
    reason       text NOT NULL DEFAULT '',
    execution_id uuid,
    action       text NOT NULL DEFAULT '',
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (event_id, rule),
    CHECK ((outcome = 'matched') = (execution_id IS NOT NULL)),
    CHECK (outcome = 'matched' OR reason <> '')
);

CREATE TABLE executions (
    id                uuid PRIMARY KEY,
    action            text NOT NULL CHECK (length(action) <= 260),
    pack_digest       text NOT NULL,
    status            text NOT NULL CHECK (status IN ('requested', 'running', 'canceling', 'succeeded', 'failed', 'timed_out', 'canceled', 'lost')),
    attempt           integer NOT NULL CHECK (attempt >= 1),
    changed_at        timestamptz NOT NULL,
    requested_at      timestamptz NOT NULL,
    requested_by      text NOT NULL DEFAULT '',
    key               text NOT NULL DEFAULT '',
    slot_limit        integer NOT NULL DEFAULT 0 CHECK (slot_limit >= 0),
    pool              text NOT NULL DEFAULT '',
    rule              text CHECK (length(rule) <= 260),
    event_id          uuid,
    retry_of          uuid,
    hops              integer NOT NULL DEFAULT 0 CHECK (hops >= 0),
    parameters        json,
    runner            text NOT NULL DEFAULT '',
    started_at        timestamptz,
    ended_at          timestamptz,
    exit_code         integer,
    signal            text NOT NULL DEFAULT '',
    result            json,
    error_class       text,
    error_message     text,
    stdout_bytes      bigint NOT NULL DEFAULT 0 CHECK (stdout_bytes >= 0),
    stderr_bytes      bigint NOT NULL DEFAULT 0 CHECK (stderr_bytes >= 0),
    output_truncated  boolean NOT NULL DEFAULT false,
    output_held       boolean NOT NULL DEFAULT false,
    canceled_by       text NOT NULL DEFAULT '',
    announced_attempt integer NOT NULL DEFAULT 0, -- the last attempt whose end is, or need not be, an event
    stream_epoch      bigint NOT NULL,            -- which EXECUTIONS the sequences below belong to
    fact_seqs         bigint[] NOT NULL,          -- facts that are still on that stream
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((status IN ('succeeded', 'failed', 'timed_out', 'canceled', 'lost')) = (ended_at IS NOT NULL)),
    CHECK (status NOT IN ('running', 'canceling', 'succeeded') OR started_at IS NOT NULL),
    CHECK (status <> 'requested' OR (started_at IS NULL AND runner = '')),
    CHECK (status <> 'succeeded' OR error_class IS NULL),
    CHECK (ended_at IS NOT NULL OR (result IS NULL AND exit_code IS NULL AND error_class IS NULL)),
    CHECK ((error_class IS NULL) = (error_message IS NULL)),
    CHECK (announced_attempt <= attempt)
);
CREATE INDEX executions_by_time ON executions (requested_at DESC, id DESC);
CREATE INDEX executions_by_action ON executions (action, requested_at DESC, id DESC);
CREATE INDEX executions_by_rule ON executions (rule, requested_at DESC, id DESC) WHERE rule IS NOT NULL;
CREATE INDEX executions_by_event ON executions (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX executions_unsuccessful ON executions (status, requested_at DESC, id DESC) WHERE status <> 'succeeded';
CREATE INDEX executions_to_announce ON executions (ended_at) WHERE ended_at IS NOT NULL AND announced_attempt < attempt;
CREATE INDEX executions_with_facts ON executions (recorded_at) WHERE ended_at IS NOT NULL AND fact_seqs <> '{}';

-- A message that could not become a row above, so that nothing disappears without a word.
CREATE TABLE rejected_messages (
    stream      text NOT NULL,
    seq         bigint NOT NULL,
    received_at timestamptz NOT NULL,
    subject     text NOT NULL,
    reason      text NOT NULL CHECK (reason <> ''),
    data        bytea NOT NULL, -- the first bytes
    size        integer NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, received_at, seq)
);

-- +goose StatementBegin
-- How far an attempt is. Within one attempt a status only moves to a higher rank.
CREATE FUNCTION execution_rank(status text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE status WHEN 'requested' THEN 0 WHEN 'running' THEN 1 WHEN 'canceling' THEN 2 ELSE 3 END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The sequences of both, each once, in order.
CREATE FUNCTION union_seqs(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY (SELECT DISTINCT s FROM unnest(a || b) AS s ORDER BY s)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The table of statuses, with the steps in between left out: the recorder may see the last of several facts.
CREATE FUNCTION executions_refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = OLD.status AND NEW.attempt = OLD.attempt THEN
        RETURN NEW;
    END IF;
    IF NEW.attempt = OLD.attempt AND execution_rank(NEW.status) > execution_rank(OLD.status) THEN
        RETURN NEW;
    END IF;
    IF NEW.attempt > OLD.attempt AND OLD.status IN ('requested', 'running', 'canceling', 'lost') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'execution % may not change from % (attempt %) to % (attempt %)',
        OLD.id, OLD.status, OLD.attempt, NEW.status, NEW.attempt USING ERRCODE = 'check_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER executions_transition BEFORE UPDATE OF status, attempt ON executions
    FOR EACH ROW EXECUTE FUNCTION executions_refuse_transition();

-- +goose Down
DROP TABLE rejected_messages, executions, decisions, events;
DROP FUNCTION executions_refuse_transition, execution_rank, union_seqs;
