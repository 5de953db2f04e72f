-- +goose Up

-- What was not kept of an execution's output.
ALTER TABLE executions ADD COLUMN dropped_bytes bigint NOT NULL DEFAULT 0 CHECK (dropped_bytes >= 0);
COMMENT ON COLUMN executions.dropped_bytes IS 'of both streams, over a limit or not stored; 0 of rows older than this column';

-- +goose Down
ALTER TABLE executions DROP COLUMN dropped_bytes;
