-- +goose Up

ALTER TABLE pack_versions ADD COLUMN origin text NOT NULL DEFAULT '';
COMMENT ON COLUMN pack_versions.origin IS 'where its archive came from, exactly: an address, a commit, an index; source is who brings the pack';

-- +goose Down
ALTER TABLE pack_versions DROP COLUMN origin;
