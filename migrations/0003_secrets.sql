-- +goose Up

-- The keys that data keys are wrapped with. The keys themselves are files outside the database; here is only
-- what proves at start that a file holds the right one.
CREATE TABLE secret_keys (
    id         text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    proof      bytea       NOT NULL,
    current    boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX one_current_key ON secret_keys (current) WHERE current;
COMMENT ON COLUMN secret_keys.proof IS 'a known text, sealed with the key';

-- 24 bytes of nonce and 16 of authentication are part of everything sealed.
CREATE TABLE secrets (
    name        text        PRIMARY KEY CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_-]{0,127}$'),
    version     bigint      NOT NULL CHECK (version > 0),
    key_id      text        NOT NULL REFERENCES secret_keys,
    wrapped_key bytea       NOT NULL CHECK (octet_length(wrapped_key) = 24 + 32 + 16),
    sealed      bytea       NOT NULL CHECK (octet_length(sealed) > 24 + 16),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (updated_at >= created_at)
);
COMMENT ON COLUMN secrets.wrapped_key IS 'the data key of this version alone, sealed with the key key_id';
COMMENT ON COLUMN secrets.sealed IS 'the value, sealed with the data key';
