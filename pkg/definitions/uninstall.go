package definitions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
)

// Uninstall removes a pack, and gives up what of it is on its way. Its versions stay as retired ones for executions
// that need them. When rules of other packs need it, it fails with an InUseError that names them,
// or, with force, removes these rules too and returns their names; installing their packs again brings them back.
func (s *Store) Uninstall(ctx context.Context, name string, force bool) (removed []pack.Ref, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		removed, err = uninstall(ctx, tx, name, force)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("uninstall pack %s: %w", name, err)
	}
	return removed, nil
}

func uninstall(ctx context.Context, tx pgx.Tx, name string, force bool) ([]pack.Ref, error) {
	if _, err := tx.Exec(ctx, "DELETE FROM rules WHERE pack = $1 AND source = $2", name, sourcePack); err != nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, "DELETE FROM packs WHERE name = $1", name)
	if err != nil {
		return nil, err
	}
	retired, err := retire(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() == 0 && retired == 0 {
		return nil, ErrNotFound
	}
	if !force {
		return nil, checkInUse(ctx, tx, name)
	}
	return removeUsers(ctx, tx, name)
}

// removeUsers deletes the rules of other packs that need a pack which is gone.
func removeUsers(ctx context.Context, tx pgx.Tx, name string) ([]pack.Ref, error) {
	rows, err := tx.Query(ctx, `DELETE FROM rules WHERE trigger_pack = $1 OR action_pack = $1
		RETURNING pack, name`, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[pack.Ref])
}

func setPackConfig(ctx context.Context, tx pgx.Tx, name string, config json.RawMessage) error {
	var doc json.RawMessage
	err := tx.QueryRow(ctx, "SELECT schema FROM packs WHERE name = $1", name).Scan(&doc)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("pack %s: %w", name, ErrNotFound)
	case err != nil:
		return fmt.Errorf("configure pack %s: %w", name, err)
	}
	if err := checkConfig(doc, config); err != nil {
		return fmt.Errorf("configure pack %s: %w", name, err)
	}
	_, err = tx.Exec(ctx, "UPDATE packs SET config = $2, updated_at = greatest(created_at, clock_timestamp()) WHERE name = $1", name, config)
	return err
}

func checkConfig(doc, config json.RawMessage) error {
	values, err := strictjson.ParseObject(config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadConfig, err)
	}
	compiled, err := schema.Compile(doc)
	if err != nil {
		return err
	}
	for _, check := range []func(*schema.Schema, any) error{marker.Fits, marker.Conceals} {
		if err := check(compiled, values); err != nil {
			return fmt.Errorf("%w: %w", ErrBadConfig, err)
		}
	}
	return nil
}
