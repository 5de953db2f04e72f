package definitions

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/pack"
)

func (s *Store) read(ctx context.Context) (*Snapshot, error) {
	snap := &Snapshot{
		Packs: map[string]Pack{}, Actions: map[pack.Ref]Action{}, Triggers: map[pack.Ref]Trigger{},
		Sensors: map[pack.Ref]Sensor{}, Rules: map[pack.Ref]Rule{},
	}
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, one, func(tx pgx.Tx) error { return snap.read(ctx, tx) })
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	snap.index()
	return snap, nil
}

func (s *Snapshot) read(ctx context.Context, tx pgx.Tx) error {
	if err := tx.QueryRow(ctx, "SELECT revision FROM definitions_revision").Scan(&s.Revision); err != nil {
		return err
	}
	for _, part := range []func(context.Context, pgx.Tx) error{
		s.readPacks, s.readActions, s.readTriggers, s.readSensors, s.readRules, s.readVersions,
	} {
		if err := part(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) readPacks(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT name, version, description, author, runtime, digest, source,
		installed_by AS by, schema, config, concurrency_limit, created_at, updated_at FROM packs`)
	if err != nil {
		return err
	}
	packs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Pack])
	for _, p := range packs {
		s.Packs[p.Name] = p
	}
	return err
}

// part is a row of actions, triggers or sensors.
type part struct {
	Pack string
	Name string
	Spec json.RawMessage
}

// readParts reads the rows of one of those tables; add is called for each with its specification.
func readParts[T any](ctx context.Context, tx pgx.Tx, query string, add func(pack.Ref, T)) error {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return err
	}
	parts, err := pgx.CollectRows(rows, pgx.RowToStructByName[part])
	if err != nil {
		return err
	}
	for _, p := range parts {
		var spec T
		ref := pack.Ref{Pack: p.Pack, Name: p.Name}
		if err := json.Unmarshal(p.Spec, &spec); err != nil {
			return fmt.Errorf("specification of %s: %w", ref, err)
		}
		add(ref, spec)
	}
	return nil
}

func (s *Snapshot) readActions(ctx context.Context, tx pgx.Tx) error {
	return readParts(ctx, tx, "SELECT pack, name, spec FROM actions", func(ref pack.Ref, spec pack.Action) {
		p := s.Packs[ref.Pack]
		s.Actions[ref] = Action{Spec: spec, Pack: ref.Pack, Digest: p.Digest, Config: p.Config, PackLimit: p.ConcurrencyLimit, Ranges: p.Runtime}
	})
}

func (s *Snapshot) readTriggers(ctx context.Context, tx pgx.Tx) error {
	return readParts(ctx, tx, "SELECT pack, name, spec FROM triggers", func(ref pack.Ref, spec pack.Trigger) {
		s.Triggers[ref] = Trigger{Spec: spec, Pack: ref.Pack}
	})
}

func (s *Snapshot) readSensors(ctx context.Context, tx pgx.Tx) error {
	return readParts(ctx, tx, "SELECT pack, name, spec FROM sensors", func(ref pack.Ref, spec pack.Sensor) {
		p := s.Packs[ref.Pack]
		s.Sensors[ref] = Sensor{Spec: spec, Pack: ref.Pack, Digest: p.Digest, Config: p.Config}
	})
}

// ruleRow is a row of rules.
type ruleRow struct {
	part
	TriggerPack, TriggerName string
	ActionPack, ActionName   string
	Enabled                  bool
	Source                   string
	CreatedAt, UpdatedAt     time.Time
}

func (s *Snapshot) readRules(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT pack, name, spec, trigger_pack, trigger_name, action_pack, action_name,
		enabled, source, created_at, updated_at FROM rules`)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[ruleRow])
	if err != nil {
		return err
	}
	for _, row := range found {
		r, err := row.rule()
		if err != nil {
			return err
		}
		s.Rules[r.Ref] = r
	}
	return nil
}

func (row ruleRow) rule() (Rule, error) {
	r := Rule{
		Ref:     pack.Ref{Pack: row.Pack, Name: row.Name},
		Trigger: pack.Ref{Pack: row.TriggerPack, Name: row.TriggerName},
		Action:  pack.Ref{Pack: row.ActionPack, Name: row.ActionName},
		Enabled: row.Enabled, Source: row.Source, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	spec, err := decodeRule(row.Spec)
	if err != nil {
		return Rule{}, fmt.Errorf("specification of rule %s: %w", r.Ref, err)
	}
	r.Spec = spec
	return r, nil
}

func (s *Snapshot) readVersions(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT "+versionColumns+" FROM pack_versions")
	if err != nil {
		return err
	}
	s.Versions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Version])
	newestFirst(s.Versions)
	return err
}
