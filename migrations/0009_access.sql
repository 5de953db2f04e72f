-- +goose Up

-- One row. Every change of who may do what adds one, so that a reader can tell whether it is up to date.
CREATE TABLE access_revision (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    revision bigint  NOT NULL DEFAULT 0
);
INSERT INTO access_revision DEFAULT VALUES;

-- Who may do what: a role, everywhere or within packs, and further grants as text.
CREATE TABLE api_tokens (
    id           text        PRIMARY KEY CHECK (id ~ '^[a-z2-7]{16}$'),
    name         text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    role         text        NOT NULL DEFAULT '' CHECK (role IN ('', 'viewer', 'operator', 'editor', 'admin')),
    packs        text[]      NOT NULL DEFAULT '{}',
    grants       text[]      NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text        NOT NULL CHECK (created_by <> ''),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text        NOT NULL DEFAULT '',
    last_used_at timestamptz,
    CHECK (role <> '' OR grants <> '{}'),
    CHECK (role <> 'admin' OR packs = '{}')
);
CREATE UNIQUE INDEX one_token_of_a_name ON api_tokens (name) WHERE revoked_at IS NULL;
COMMENT ON COLUMN api_tokens.id IS 'is part of the token, and no secret';
COMMENT ON COLUMN api_tokens.hash IS 'SHA-256 of the part that is secret: 256 random bits need no slower one';
COMMENT ON COLUMN api_tokens.last_used_at IS 'to the minute';

CREATE TABLE users (
    name       text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_.@-]{0,126}$'),
    password   text        CHECK (password LIKE '$argon2id$%'),
    issuer     text        NOT NULL DEFAULT '',
    subject    text        NOT NULL DEFAULT '',
    role       text        NOT NULL DEFAULT '' CHECK (role IN ('', 'viewer', 'operator', 'editor', 'admin')),
    packs      text[]      NOT NULL DEFAULT '{}',
    grants     text[]      NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text        NOT NULL CHECK (created_by <> ''),
    disabled   boolean     NOT NULL DEFAULT false,
    CHECK (role <> 'admin' OR packs = '{}'),
    CHECK ((issuer = '') = (subject = ''))
);
CREATE UNIQUE INDEX one_user_of_a_subject ON users (issuer, subject) WHERE issuer <> '';
COMMENT ON COLUMN users.issuer IS 'who says that it is this user, for users that sign in elsewhere';

CREATE TABLE sessions (
    id         text        PRIMARY KEY CHECK (id ~ '^[a-z2-7]{16}$'),
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    user_name  text        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CHECK (expires_at > created_at)
);
CREATE INDEX ON sessions (user_name);
CREATE INDEX ON sessions (expires_at);

-- Codes by which a command line fetches the session that its user's browser has signed in for. Each is used once.
CREATE TABLE sign_in_codes (
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32),
    challenge  text        NOT NULL CHECK (challenge <> ''),
    user_name  text        NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN sign_in_codes.challenge IS 'SHA-256, in base64url, of what whoever fetches it must know';

-- +goose StatementBegin
CREATE FUNCTION access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- That something was used changes nothing about who may do what.
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF name, hash, role, packs, grants, expires_at, revoked_at ON api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION access_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION access_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION access_changed();

-- The record of who changed what. Each row's hash covers its content and the hash of the row before it.
CREATE TABLE audit (
    seq     bigint      PRIMARY KEY CHECK (seq > 0),
    at      timestamptz NOT NULL,
    actor   text        NOT NULL,
    address text        NOT NULL,
    action  text        NOT NULL CHECK (action <> ''),
    kind    text        NOT NULL,
    object  text        NOT NULL,
    outcome text        NOT NULL CHECK (outcome IN ('begun', 'done', 'refused', 'failed')),
    detail  text        NOT NULL,
    request text        NOT NULL,
    of      bigint      NOT NULL CHECK (of >= 0 AND of < seq),
    before  json,
    after   json,
    prev    bytea       NOT NULL CHECK (octet_length(prev) = 32),
    hash    bytea       NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX ON audit (actor, seq DESC);
CREATE INDEX ON audit (object, seq DESC);
CREATE INDEX ON audit (at);
CREATE INDEX ON audit (of) WHERE of > 0;
COMMENT ON COLUMN audit.of IS 'the row that said that this was begun; 0 for none';
COMMENT ON COLUMN audit.hash IS 'SHA-256 over the columns before it, each with its length';

-- +goose StatementBegin
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- +goose Down
DROP TABLE audit, sign_in_codes, sessions, users, api_tokens, access_revision;
DROP FUNCTION access_changed, audit_is_append_only;
