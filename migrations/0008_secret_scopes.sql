-- +goose Up

-- Keys: of several kinds, and several at once while data keys are being wrapped anew.
ALTER TABLE secret_keys
    DROP CONSTRAINT secret_keys_id_check,
    ADD CONSTRAINT secret_keys_id_check CHECK (id ~ '^([0-9a-f]{16}|vault:[!-~]{1,200})$'),
    ADD COLUMN state      text        NOT NULL DEFAULT 'current' CHECK (state IN ('next', 'current', 'old', 'retired')),
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
UPDATE secret_keys SET state = 'old' WHERE NOT current;
DROP INDEX one_current_key;
ALTER TABLE secret_keys DROP COLUMN current;
CREATE UNIQUE INDEX one_key_in_state ON secret_keys (state) WHERE state IN ('next', 'current');
COMMENT ON COLUMN secret_keys.state IS 'next: not used until every process that reads secrets has it; current: new data keys are wrapped with it; old: some still are; retired: none is';

-- Secrets: of an owner, with versions. The value is in secret_versions; here is what names it and counts them.
CREATE TABLE secret_versions (
    owner       text        NOT NULL,
    name        text        NOT NULL,
    version     bigint      NOT NULL CHECK (version > 0),
    form        smallint    NOT NULL CHECK (form IN (1, 2)),
    key_id      text        NOT NULL REFERENCES secret_keys,
    wrapped_key bytea       NOT NULL CHECK (octet_length(wrapped_key) BETWEEN 24 + 32 + 16 AND 1024),
    sealed      bytea       NOT NULL CHECK (octet_length(sealed) > 24 + 16),
    created_at  timestamptz NOT NULL DEFAULT now(),
    keyed_at    timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz CHECK (expires_at > created_at),
    PRIMARY KEY (owner, name, version)
);
COMMENT ON COLUMN secret_versions.form IS 'what is authenticated with sealed and wrapped_key; 1 is that of migration 0003';
COMMENT ON COLUMN secret_versions.wrapped_key IS 'the data key of this version alone, sealed with the key key_id';
COMMENT ON COLUMN secret_versions.sealed IS 'the value, sealed with the data key';
COMMENT ON COLUMN secret_versions.keyed_at IS 'when the data key was made';
INSERT INTO secret_versions (owner, name, version, form, key_id, wrapped_key, sealed, created_at, keyed_at)
    SELECT 'global', name, version, 1, key_id, wrapped_key, sealed, updated_at, updated_at FROM secrets;

ALTER TABLE secrets
    ADD COLUMN owner text NOT NULL DEFAULT 'global' CHECK (length(owner) <= 200 AND owner ~ '^(global|(pack|user|execution):.+)$'),
    DROP COLUMN key_id, DROP COLUMN wrapped_key, DROP COLUMN sealed,
    DROP CONSTRAINT secrets_pkey, ADD PRIMARY KEY (owner, name),
    DROP CONSTRAINT secrets_name_check,
    ADD CONSTRAINT secrets_name_check CHECK (
        CASE WHEN owner LIKE 'execution:%' THEN length(name) BETWEEN 1 AND 512 ELSE name ~ '^[A-Za-z_][A-Za-z0-9_-]{0,127}$' END);
ALTER TABLE secrets ALTER COLUMN owner DROP DEFAULT;
ALTER TABLE secret_versions ADD FOREIGN KEY (owner, name) REFERENCES secrets ON DELETE CASCADE;

CREATE INDEX secret_versions_by_key ON secret_versions (key_id);
CREATE INDEX secret_versions_by_age_of_key ON secret_versions (keyed_at);
CREATE INDEX secret_versions_by_end ON secret_versions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX secrets_of_executions ON secrets (created_at) WHERE owner LIKE 'execution:%';

-- At most one row: data keys made before that time are to be replaced.
CREATE TABLE secret_rotation (
    one    boolean     PRIMARY KEY DEFAULT true CHECK (one),
    before timestamptz NOT NULL
);

-- The processes that read secrets, and which keys each of them has. Nothing is wrapped with a key that one lacks.
CREATE TABLE secret_holders (
    id      text        PRIMARY KEY,
    host    text        NOT NULL,
    keys    text[]      NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);
