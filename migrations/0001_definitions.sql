-- +goose Up

-- One row. Every change of a definition adds one, so that a reader can tell whether it is up to date.
CREATE TABLE definitions_revision (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    revision bigint  NOT NULL DEFAULT 0
);
INSERT INTO definitions_revision DEFAULT VALUES;

CREATE TABLE packs (
    name         text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    version      text        NOT NULL CHECK (version <> ''),
    description  text        NOT NULL DEFAULT '',
    author       text        NOT NULL DEFAULT '',
    runtime      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(runtime) = 'object'),
    digest       text        NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    source       text        NOT NULL CHECK (source <> ''),
    installed_by text        NOT NULL DEFAULT '',
    schema       json,
    config       json        NOT NULL DEFAULT '{}' CHECK (json_typeof(config) = 'object'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (updated_at >= created_at)
);
COMMENT ON COLUMN packs.digest IS 'of the archive in the object bucket PACKS';
COMMENT ON COLUMN packs.config IS 'values that this installation set; kept over upgrades';

-- Specifications are json, not jsonb: they come back as they were written, with exact numbers and the order of keys.
CREATE TABLE actions (
    pack       text        NOT NULL REFERENCES packs ON DELETE CASCADE,
    name       text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    spec       json        NOT NULL CHECK (json_typeof(spec) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pack, name)
);

CREATE TABLE triggers (
    pack       text        NOT NULL REFERENCES packs ON DELETE CASCADE,
    name       text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    spec       json        NOT NULL CHECK (json_typeof(spec) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pack, name)
);

CREATE TABLE sensors (
    pack       text        NOT NULL REFERENCES packs ON DELETE CASCADE,
    name       text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    spec       json        NOT NULL CHECK (json_typeof(spec) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pack, name)
);

-- A rule's pack is a name only: rules that users apply themselves need no installed pack.
-- The references are deferred so that an upgrade may take things away and bring them back in one transaction.
CREATE TABLE rules (
    pack         text        NOT NULL CHECK (pack ~ '^[a-z][a-z0-9_-]{0,62}$'),
    name         text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    source       text        NOT NULL CHECK (source <> ''),
    spec         json        NOT NULL CHECK (json_typeof(spec) = 'object'),
    trigger_pack text        NOT NULL,
    trigger_name text        NOT NULL,
    action_pack  text        NOT NULL,
    action_name  text        NOT NULL,
    enabled      boolean     NOT NULL,
    enabled_set  boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pack, name),
    FOREIGN KEY (trigger_pack, trigger_name) REFERENCES triggers DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (action_pack, action_name) REFERENCES actions DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON COLUMN rules.source IS '"pack" for a rule that its pack brought, otherwise what brought it';
COMMENT ON COLUMN rules.enabled_set IS 'a user chose "enabled"; an upgrade of the pack keeps it';
CREATE INDEX ON rules (trigger_pack, trigger_name);
CREATE INDEX ON rules (action_pack, action_name);

-- +goose StatementBegin
CREATE FUNCTION definitions_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE definitions_revision SET revision = revision + 1;
    NOTIFY attune_definitions;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON packs
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON actions
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON triggers
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON sensors
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON rules
    FOR EACH STATEMENT EXECUTE FUNCTION definitions_changed();
