-- +goose Up

-- Every version of a pack that is on its way, in service, or still needed. The installer moves the state.
CREATE TABLE pack_versions (
    pack         text        NOT NULL CHECK (pack ~ '^[a-z][a-z0-9_-]{0,62}$'),
    digest       text        NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    version      text        NOT NULL CHECK (version <> ''),
    source       text        NOT NULL CHECK (source <> ''),
    installed_by text        NOT NULL DEFAULT '',
    state        text        NOT NULL CHECK (state IN ('building', 'ready', 'active', 'kept', 'failed', 'retired')),
    switch       text        NOT NULL DEFAULT 'all' CHECK (switch IN ('all', 'any', 'now', 'never')),
    generation   integer     NOT NULL DEFAULT 1 CHECK (generation >= 1),
    runner       text        NOT NULL DEFAULT '',
    error        text        NOT NULL DEFAULT '',
    tail         text[]      NOT NULL DEFAULT '{}',
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    switched_at  timestamptz,
    ended_at     timestamptz,
    PRIMARY KEY (pack, digest),
    CHECK (state <> 'active' OR switched_at IS NOT NULL),
    CHECK (state <> 'kept' OR switched_at IS NOT NULL),
    CHECK (state <> 'failed' OR error <> ''),
    CHECK ((state IN ('kept', 'failed', 'retired')) = (ended_at IS NOT NULL))
);
COMMENT ON COLUMN pack_versions.generation IS 'which try of the same archive this is';
COMMENT ON COLUMN pack_versions.requested_at IS 'when this try was asked for';
COMMENT ON COLUMN pack_versions.switched_at IS 'when it was put in service last';
COMMENT ON COLUMN pack_versions.ended_at IS 'when it left service, failed, or was uninstalled';
CREATE UNIQUE INDEX one_active_version ON pack_versions (pack) WHERE state = 'active';
CREATE UNIQUE INDEX one_coming_version ON pack_versions (pack) WHERE state IN ('building', 'ready');

INSERT INTO pack_versions (pack, digest, version, source, installed_by, state, requested_at, switched_at)
    SELECT name, digest, version, source, installed_by, 'active', updated_at, updated_at FROM packs;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON pack_versions
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();

-- +goose Down
DROP TABLE pack_versions;
