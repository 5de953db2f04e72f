package definitions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/pack"
)

// addParts writes the parts of a pack; rows that exist change only where their specification does.
func addParts(ctx context.Context, tx pgx.Tx, p pack.Pack) error {
	if err := upsert(ctx, tx, "actions", p.Name, p.Actions, func(a pack.Action) string { return a.Name }); err != nil {
		return err
	}
	if err := upsert(ctx, tx, "triggers", p.Name, p.Triggers, func(t pack.Trigger) string { return t.Name }); err != nil {
		return err
	}
	if err := upsert(ctx, tx, "sensors", p.Name, p.Sensors, func(s pack.Sensor) string { return s.Name }); err != nil {
		return err
	}
	return upsertRules(ctx, tx, p)
}

// upsert writes rows of actions, triggers or sensors. table is one of those names.
func upsert[T any](ctx context.Context, tx pgx.Tx, table, packName string, list []T, name func(T) string) error {
	names, specs, err := columns(list, name)
	if err != nil || len(list) == 0 {
		return err
	}
	sql := strings.ReplaceAll(`INSERT INTO TABLE (pack, name, spec)
		SELECT $1, name, spec::json FROM unnest($2::text[], $3::text[]) AS new (name, spec)
		ON CONFLICT (pack, name) DO UPDATE SET spec = excluded.spec, updated_at = clock_timestamp()
		WHERE TABLE.spec::text <> excluded.spec::text`, "TABLE", table)
	_, err = tx.Exec(ctx, sql, packName, names, specs)
	return err
}

func columns[T any](list []T, name func(T) string) (names, specs []string, err error) {
	for _, v := range list {
		spec, err := json.Marshal(v)
		if err != nil {
			return nil, nil, fmt.Errorf("specification of %s: %w", name(v), err)
		}
		names, specs = append(names, name(v)), append(specs, string(spec))
	}
	return names, specs, nil
}

func upsertRules(ctx context.Context, tx pgx.Tx, p pack.Pack) error {
	for _, r := range p.Rules {
		if err := upsertRule(ctx, tx, p.Name, r); err != nil {
			return fmt.Errorf("rule %s.%s: %w", p.Name, r.Name, err)
		}
	}
	return nil
}

func upsertRule(ctx context.Context, tx pgx.Tx, packName string, r pack.Rule) error {
	trigger, action, err := r.Refs(packName)
	if err != nil {
		return err
	}
	spec, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO rules
			(pack, name, source, spec, trigger_pack, trigger_name, action_pack, action_name, enabled)
		VALUES ($1, $2, $3, $4::text::json, $5, $6, $7, $8, $9)
		ON CONFLICT (pack, name) DO UPDATE SET spec = excluded.spec,
			trigger_pack = excluded.trigger_pack, trigger_name = excluded.trigger_name,
			action_pack = excluded.action_pack, action_name = excluded.action_name,
			enabled = CASE WHEN rules.enabled_set THEN rules.enabled ELSE excluded.enabled END,
			updated_at = clock_timestamp()`,
		packName, r.Name, sourcePack, string(spec),
		trigger.Pack, trigger.Name, action.Pack, action.Name, r.Enabled == nil || *r.Enabled)
	return err
}

// decodeRule keeps numbers exact in the rule's free-form parameters.
func decodeRule(spec []byte) (pack.Rule, error) {
	var r pack.Rule
	d := json.NewDecoder(bytes.NewReader(spec))
	d.UseNumber()
	err := d.Decode(&r)
	return r, err
}

// Every SQL below gives rule_pack, rule_name, kind, need_pack, need_name.
const (
	sqlMissing = `
		SELECT r.pack, r.name, 'trigger', r.trigger_pack, r.trigger_name FROM rules r
		WHERE r.pack = $1 AND NOT EXISTS (SELECT FROM triggers t WHERE (t.pack, t.name) = (r.trigger_pack, r.trigger_name))
		UNION ALL
		SELECT r.pack, r.name, 'action', r.action_pack, r.action_name FROM rules r
		WHERE r.pack = $1 AND NOT EXISTS (SELECT FROM actions a WHERE (a.pack, a.name) = (r.action_pack, r.action_name))
		ORDER BY 1, 2, 3`
	sqlBroken = `
		SELECT r.pack, r.name, 'trigger', r.trigger_pack, r.trigger_name FROM rules r
		WHERE r.trigger_pack = $1 AND r.pack <> $1
		AND NOT EXISTS (SELECT FROM triggers t WHERE (t.pack, t.name) = (r.trigger_pack, r.trigger_name))
		UNION ALL
		SELECT r.pack, r.name, 'action', r.action_pack, r.action_name FROM rules r
		WHERE r.action_pack = $1 AND r.pack <> $1
		AND NOT EXISTS (SELECT FROM actions a WHERE (a.pack, a.name) = (r.action_pack, r.action_name))
		ORDER BY 1, 2, 3`
)

func uses(ctx context.Context, tx pgx.Tx, sql, packName string) ([]Use, error) {
	rows, err := tx.Query(ctx, sql, packName)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (u Use, err error) {
		err = row.Scan(&u.Rule.Pack, &u.Rule.Name, &u.Kind, &u.Needs.Pack, &u.Needs.Name)
		return u, err
	})
}

func checkMissing(ctx context.Context, tx pgx.Tx, packName string) error {
	missing, err := uses(ctx, tx, sqlMissing, packName)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &MissingError{Pack: packName, Needs: missing}
	}
	return nil
}

// checkInUse refuses the transaction when it took away what rules of other packs need.
func checkInUse(ctx context.Context, tx pgx.Tx, packName string) error {
	broken, err := uses(ctx, tx, sqlBroken, packName)
	if err != nil {
		return err
	}
	if len(broken) > 0 {
		return &InUseError{Pack: packName, Uses: broken}
	}
	return nil
}
