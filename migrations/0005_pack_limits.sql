-- +goose Up

ALTER TABLE packs ADD COLUMN concurrency_limit integer NOT NULL DEFAULT 0 CHECK (concurrency_limit >= 0);
COMMENT ON COLUMN packs.concurrency_limit IS 'how many executions of all actions of the pack run at once; 0: no limit';

-- +goose Down
ALTER TABLE packs DROP COLUMN concurrency_limit;
