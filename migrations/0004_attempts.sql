-- +goose Up

-- Attempts: an execution whose action repeats a bad end goes from running to requested, with the next number.
ALTER TABLE executions
    ADD COLUMN priority   text NOT NULL DEFAULT 'normal' CHECK (priority IN ('high', 'normal', 'low')),
    ADD COLUMN not_before timestamptz,               -- of a requested attempt after the first
    ADD COLUMN previous   json NOT NULL DEFAULT '[]' CHECK (json_typeof(previous) = 'array'),
    ADD COLUMN terms      json NOT NULL DEFAULT '{}' CHECK (json_typeof(terms) = 'object');
COMMENT ON COLUMN executions.previous IS 'how the attempts before this one ended, oldest first';
COMMENT ON COLUMN executions.terms IS 'what the action said of admission and retries when this was requested';

ALTER TABLE decisions
    DROP CONSTRAINT decisions_outcome_check,
    ADD CONSTRAINT decisions_outcome_check CHECK (outcome IN ('matched', 'not_matched', 'suppressed', 'error'));

-- +goose StatementBegin
-- The table of statuses, with the steps in between left out: the recorder may see the last of several facts.
CREATE OR REPLACE FUNCTION executions_refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = OLD.status AND NEW.attempt = OLD.attempt THEN
        RETURN NEW;
    END IF;
    IF NEW.attempt = OLD.attempt AND execution_rank(NEW.status) > execution_rank(OLD.status) THEN
        RETURN NEW;
    END IF;
    IF NEW.attempt > OLD.attempt AND OLD.status IN ('requested', 'running') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'execution % may not change from % (attempt %) to % (attempt %)',
        OLD.id, OLD.status, OLD.attempt, NEW.status, NEW.attempt USING ERRCODE = 'check_violation';
END
$$;
-- +goose StatementEnd

-- +goose Down
DELETE FROM decisions WHERE outcome = 'suppressed';
ALTER TABLE decisions
    DROP CONSTRAINT decisions_outcome_check,
    ADD CONSTRAINT decisions_outcome_check CHECK (outcome IN ('matched', 'not_matched', 'error'));
ALTER TABLE executions DROP COLUMN priority, DROP COLUMN not_before, DROP COLUMN previous, DROP COLUMN terms;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION executions_refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
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
