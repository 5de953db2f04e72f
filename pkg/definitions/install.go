package definitions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/pack"
)

// sourcePack is the source of the rules that a pack brings.
const sourcePack = "pack"

// Install puts a pack in place of what its name held before. What the installation chose (rules switched on
// or off, the configuration) is kept. It fails with a ConflictError when the name belongs to another source,
// a MissingError when its rules refer to what is not installed, and an InUseError when it takes away what
// rules of other packs need.
func (s *Store) Install(ctx context.Context, in Installed) (Change, error) {
	var change Change
	err := s.write(ctx, func(tx pgx.Tx) (err error) {
		change, err = serve(ctx, tx, in)
		return err
	})
	if err != nil {
		return Change{}, fmt.Errorf("install pack %s: %w", in.Pack.Name, err)
	}
	return change, nil
}

// serve puts a pack in service.
func serve(ctx context.Context, tx pgx.Tx, in Installed) (Change, error) {
	change, err := put(ctx, tx, in)
	if err != nil || change.Kind == ChangeUnchanged {
		return change, err
	}
	if err := replaceParts(ctx, tx, in); err != nil {
		return change, err
	}
	return change, activate(ctx, tx, in)
}

// put writes the pack's own row.
func put(ctx context.Context, tx pgx.Tx, in Installed) (Change, error) {
	change, err := compare(ctx, tx, in)
	if err != nil || change.Kind == ChangeUnchanged {
		return change, err
	}
	p := in.Pack
	_, err = tx.Exec(ctx, `INSERT INTO packs
			(name, version, description, author, runtime, digest, source, installed_by, schema, concurrency_limit)
		VALUES ($1, $2, $3, $4, coalesce($5::jsonb, '{}'), $6, $7, $8, $9, $10)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, description = excluded.description,
			author = excluded.author, runtime = excluded.runtime, digest = excluded.digest,
			installed_by = excluded.installed_by, schema = excluded.schema,
			concurrency_limit = excluded.concurrency_limit, updated_at = greatest(packs.created_at, clock_timestamp())`,
		p.Name, p.Version, p.Description, p.Author, p.Runtime, in.Digest, in.Source, in.By, nullable(p.Config), p.Concurrency.Limit)
	return change, err
}

func nullable(doc json.RawMessage) any {
	if len(doc) == 0 {
		return nil
	}
	return doc
}

// compare tells what the installation is, given what is there.
func compare(ctx context.Context, tx pgx.Tx, in Installed) (Change, error) {
	change := Change{Kind: ChangeUpgraded}
	var owner string
	var rules int
	err := tx.QueryRow(ctx, `SELECT version, digest, source,
			(SELECT count(*) FROM rules WHERE pack = packs.name AND rules.source = $2)
		FROM packs WHERE name = $1`, in.Pack.Name, sourcePack).
		Scan(&change.PreviousVersion, &change.PreviousDigest, &owner, &rules)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Change{Kind: ChangeInstalled}, nil
	case err != nil:
		return Change{}, err
	case owner != in.Source:
		return Change{}, &ConflictError{Kind: "pack", Name: in.Pack.Name, Owner: owner, By: in.Source}
	case change.PreviousDigest == in.Digest && rules == len(in.Pack.Rules): // a forced uninstall takes rules away
		change.Kind = ChangeUnchanged
	}
	return change, nil
}

// replaceParts makes the pack's actions, triggers, sensors and rules those of the new version.
func replaceParts(ctx context.Context, tx pgx.Tx, in Installed) error {
	p := in.Pack
	if err := checkRuleOwners(ctx, tx, p); err != nil {
		return err
	}
	if err := removeParts(ctx, tx, p); err != nil {
		return err
	}
	if err := addParts(ctx, tx, p); err != nil {
		return err
	}
	if err := checkMissing(ctx, tx, p.Name); err != nil {
		return err
	}
	return checkInUse(ctx, tx, p.Name)
}

func checkRuleOwners(ctx context.Context, tx pgx.Tx, p pack.Pack) error {
	e := &ConflictError{Kind: "rule", By: "pack " + p.Name}
	err := tx.QueryRow(ctx, `SELECT pack || '.' || name, source FROM rules
		WHERE pack = $1 AND name = ANY ($2) AND source <> $3 ORDER BY name LIMIT 1`,
		p.Name, ruleNames(p), sourcePack).Scan(&e.Name, &e.Owner)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	default:
		return e
	}
}

// removeParts deletes what the new version no longer has. Rows that stay keep their time of creation.
func removeParts(ctx context.Context, tx pgx.Tx, p pack.Pack) error {
	for _, gone := range []struct {
		sql   string
		names []string
	}{
		{"DELETE FROM rules WHERE pack = $1 AND source = 'pack' AND name <> ALL ($2)", ruleNames(p)},
		{"DELETE FROM actions WHERE pack = $1 AND name <> ALL ($2)", namesOf(p.Actions, func(a pack.Action) string { return a.Name })},
		{"DELETE FROM triggers WHERE pack = $1 AND name <> ALL ($2)", namesOf(p.Triggers, func(t pack.Trigger) string { return t.Name })},
		{"DELETE FROM sensors WHERE pack = $1 AND name <> ALL ($2)", namesOf(p.Sensors, func(s pack.Sensor) string { return s.Name })},
	} {
		if _, err := tx.Exec(ctx, gone.sql, p.Name, gone.names); err != nil {
			return err
		}
	}
	return nil
}

func ruleNames(p pack.Pack) []string {
	return namesOf(p.Rules, func(r pack.Rule) string { return r.Name })
}

func namesOf[T any](list []T, name func(T) string) []string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = name(v)
	}
	return names
}
