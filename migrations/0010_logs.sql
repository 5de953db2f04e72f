-- +goose Up

-- Logs: what is kept of an execution's output, whether all of it was stored, and when retention removed it.
ALTER TABLE executions
    ADD COLUMN log_bytes      bigint      NOT NULL DEFAULT 0 CHECK (log_bytes >= 0),
    ADD COLUMN stored_bytes   bigint      NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0),
    ADD COLUMN log_incomplete boolean     NOT NULL DEFAULT false,
    ADD COLUMN log_settled_at timestamptz DEFAULT now(), -- of what was there before: nothing will complete it any more
    ADD COLUMN log_removed_at timestamptz,
    ADD COLUMN log_removed_by text        NOT NULL DEFAULT '';
ALTER TABLE executions ALTER COLUMN log_settled_at DROP DEFAULT;
UPDATE executions SET log_settled_at = NULL WHERE ended_at IS NULL;
ALTER TABLE executions
    ADD CHECK (log_settled_at IS NULL OR ended_at IS NOT NULL),
    ADD CHECK (log_removed_at IS NULL OR log_settled_at IS NOT NULL),
    ADD CHECK ((log_removed_at IS NULL) = (log_removed_by = ''));
COMMENT ON COLUMN executions.log_bytes IS 'of both streams, marks included';
COMMENT ON COLUMN executions.stored_bytes IS 'what the log takes in the object store; 0 of rows older than this column';
COMMENT ON COLUMN executions.log_settled_at IS 'from then on nothing is added to the log; NULL while it may have to be completed from what its runner left';
COMMENT ON COLUMN executions.log_removed_by IS 'the policy that had it removed';

-- +goose StatementBegin
-- What retention counts for a log, with about 500 bytes for the description of its objects. Rows older than the column do
-- not say what is stored; compression made it less.
CREATE FUNCTION log_size(stored bigint, stdout bigint, stderr bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 500 + CASE WHEN stored > 0 THEN stored ELSE least(stdout, 10485760) + least(stderr, 10485760) END
$$;
-- +goose StatementEnd

-- Ended executions whose log is still to be settled; those whose log is there, in the order in which it may go, of all
-- actions and of one; and those whose row is all that is left.
CREATE INDEX executions_to_settle ON executions (ended_at, id) WHERE ended_at IS NOT NULL AND log_settled_at IS NULL;
CREATE INDEX executions_with_log ON executions (ended_at, id) INCLUDE (action, stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);
CREATE INDEX executions_with_log_by_action ON executions (action, ended_at, id) INCLUDE (stored_bytes, stdout_bytes, stderr_bytes)
    WHERE log_settled_at IS NOT NULL AND log_removed_at IS NULL AND (log_bytes > 0 OR stdout_bytes > 0 OR stderr_bytes > 0);
CREATE INDEX executions_without_log ON executions (ended_at, id)
    WHERE log_settled_at IS NOT NULL AND (log_removed_at IS NOT NULL OR (log_bytes = 0 AND stdout_bytes = 0 AND stderr_bytes = 0));

-- One row: what the sweeper of logs was asked for last, and what it says of itself.
CREATE TABLE retention (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    requested_at timestamptz,
    requested_by text NOT NULL DEFAULT '',
    state        json NOT NULL DEFAULT '{}' CHECK (json_typeof(state) = 'object')
);
INSERT INTO retention DEFAULT VALUES;

-- +goose Down
DROP TABLE retention;
DROP INDEX executions_to_settle, executions_with_log, executions_with_log_by_action, executions_without_log;
DROP FUNCTION log_size;
ALTER TABLE executions DROP COLUMN log_bytes, DROP COLUMN stored_bytes, DROP COLUMN log_incomplete, DROP COLUMN log_settled_at,
    DROP COLUMN log_removed_at, DROP COLUMN log_removed_by;
