package definitions

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func off() *bool { return new(bool) }

// corePack gives others a trigger and an action.
func corePack() pack.Pack {
	return pack.Pack{
		Name: "core", Version: "1.0.0", Description: "basics", Runtime: map[string]string{"python": ">=3.9"},
		Config:   json.RawMessage(`{"type":"object","properties":{"level":{"type":"integer"}},"additionalProperties":false}`),
		Actions:  []pack.Action{{Name: "echo", Runtime: "shell", EntryPoint: "echo.sh"}},
		Triggers: []pack.Trigger{{Name: "tick", Payload: json.RawMessage(`{"const":9007199254740993}`)}},
		Sensors:  []pack.Sensor{{Name: "watch", Runtime: "shell", EntryPoint: "watch.sh", Triggers: []string{"tick"}}},
		Rules:    []pack.Rule{{Name: "own", Trigger: "tick", Action: "echo", Enabled: off()}},
	}
}

// userPack has rules that need the core pack.
func userPack() pack.Pack {
	return pack.Pack{
		Name: "user", Version: "0.1.0",
		Rules: []pack.Rule{
			{Name: "b", Trigger: "core.tick", Action: "core.echo"},
			{Name: "a", Trigger: "core.tick", Action: "core.echo", Parameters: map[string]any{"id": json.Number("9007199254740993")}},
		},
	}
}

func install(t *testing.T, s *Store, p pack.Pack, digest byte) Change {
	t.Helper()
	change, err := s.Install(context.Background(), installed(p, digest))
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func installed(p pack.Pack, digest byte) Installed {
	return Installed{Pack: p, Digest: strings.Repeat(string(digest), 64), Source: "api", By: "tester"}
}

func snapshot(t *testing.T, s *Store) *Snapshot {
	t.Helper()
	snap, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func ref(s string) pack.Ref {
	r, err := pack.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

func withBoth(t *testing.T) *Store {
	t.Helper()
	s := New(dbtest.New(t))
	install(t, s, corePack(), 'a')
	install(t, s, userPack(), 'b')
	return s
}

func TestInstallThenSnapshot(t *testing.T) {
	t.Parallel()
	snap := snapshot(t, withBoth(t))
	core := corePack()
	if diff := cmp.Diff(core.Actions[0], snap.Actions[ref("core.echo")].Spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(core.Triggers[0], snap.Triggers[ref("core.tick")].Spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(core.Sensors[0], snap.Sensors[ref("core.watch")].Spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(userPack().Rules[1], snap.Rules[ref("user.a")].Spec); diff != "" {
		t.Error(diff)
	}
	a := snap.Actions[ref("core.echo")]
	if a.Pack != "core" || a.Digest != strings.Repeat("a", 64) || string(a.Config) != "{}" {
		t.Errorf("%+v", a)
	}
	p := snap.Packs["core"]
	if p.Version != "1.0.0" || p.Source != "api" || p.By != "tester" || p.Runtime["python"] != ">=3.9" || p.CreatedAt.IsZero() {
		t.Errorf("%+v", p)
	}
}

// The pack's limit reaches every action, and a new version changes it or takes it away.
func TestThePacksLimitIsKnownToItsActions(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	p := corePack()
	for i, limit := range []int{0, 3, 8, 0} {
		p.Concurrency.Limit = limit
		install(t, s, p, 'a'+byte(i))
		snap := snapshot(t, s)
		if of, its := snap.Actions[ref("core.echo")].PackLimit, snap.Packs["core"].ConcurrencyLimit; of != limit || its != limit {
			t.Errorf("version %d: the action knows of %d, the pack of %d; want %d", i, of, its, limit)
		}
	}
}

func TestRulesOfGivesEnabledRulesInOrder(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	if diff := cmp.Diff([]string{"user.a", "user.b"}, rulesOf(snapshot(t, s))); diff != "" {
		t.Error(diff)
	}
	enable(t, s, "core.own", true)
	enable(t, s, "user.a", false)
	if diff := cmp.Diff([]string{"core.own", "user.b"}, rulesOf(snapshot(t, s))); diff != "" {
		t.Error(diff)
	}
}

func rulesOf(snap *Snapshot) []string {
	var names []string
	for _, r := range snap.RulesOf(pack.Ref{Pack: "core", Name: "tick"}) {
		names = append(names, r.Ref.String())
	}
	return names
}

func enable(t *testing.T, s *Store, rule string, on bool) {
	t.Helper()
	if err := s.SetRuleEnabled(context.Background(), ref(rule), on); err != nil {
		t.Fatal(err)
	}
}

func TestUpgradeReplacesPartsAndKeepsWhatUsersChose(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	before := snapshot(t, s)
	enable(t, s, "core.own", true)
	if err := s.SetPackConfig(context.Background(), "core", json.RawMessage(`{"level":3}`)); err != nil {
		t.Fatal(err)
	}
	next := corePack()
	next.Version = "1.1.0"
	next.Sensors = nil
	next.Actions = append(next.Actions, pack.Action{Name: "noop", Runtime: "native", EntryPoint: "noop"})
	change := install(t, s, next, 'c')
	want := Change{Kind: ChangeUpgraded, PreviousVersion: "1.0.0", PreviousDigest: strings.Repeat("a", 64)}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Error(diff)
	}
	snap := snapshot(t, s)
	if len(snap.Sensors) != 0 || len(snap.Actions) != 2 || !snap.Rules[ref("core.own")].Enabled {
		t.Errorf("%+v", snap)
	}
	p := snap.Packs["core"]
	if string(p.Config) != `{"level":3}` || p.Version != "1.1.0" || !p.CreatedAt.Equal(before.Packs["core"].CreatedAt) {
		t.Errorf("%+v", p)
	}
}

func TestInstallingTheSameAgainChangesNothing(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	before := snapshot(t, s).Revision
	if change := install(t, s, userPack(), 'b'); change.Kind != ChangeUnchanged {
		t.Error(change)
	}
	if after := snapshot(t, s).Revision; after != before {
		t.Error(before, after)
	}
}

func TestANameBelongsToItsSource(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	in := installed(corePack(), 'f')
	in.Source = "shipped"
	_, err := s.Install(context.Background(), in)
	var conflict *ConflictError
	if !errors.Is(err, ErrConflict) || !errors.As(err, &conflict) || conflict.Owner != "api" {
		t.Error(err)
	}
	if got := snapshot(t, s).Packs["core"].Digest; got != strings.Repeat("a", 64) {
		t.Error("replaced all the same")
	}
}

func TestARuleThatSomebodyAppliedIsNotTakenOver(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	exec(t, s.pool, `INSERT INTO rules (pack, name, source, spec, trigger_pack, trigger_name, action_pack, action_name, enabled)
		VALUES ('user', 'c', 'apply', '{}', 'core', 'tick', 'core', 'echo', true)`)
	p := userPack()
	p.Rules = append(p.Rules, pack.Rule{Name: "c", Trigger: "core.tick", Action: "core.echo"})
	_, err := s.Install(context.Background(), installed(p, 'd'))
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Kind != "rule" || conflict.Name != "user.c" || conflict.Owner != "apply" {
		t.Error(err)
	}
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestRulesMustReferToWhatIsThere(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	_, err := s.Install(context.Background(), installed(userPack(), 'b'))
	var missing *MissingError
	if !errors.Is(err, ErrMissing) || !errors.As(err, &missing) || len(missing.Needs) != 4 {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), "rule user.a refers to action core.echo, which is not installed") {
		t.Error(err)
	}
	if snap := snapshot(t, s); len(snap.Packs)+len(snap.Rules) != 0 {
		t.Error("something was installed")
	}
}

func TestAnUpgradeMayNotTakeAwayWhatOthersNeed(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	next := corePack()
	next.Actions, next.Rules = nil, nil
	_, err := s.Install(context.Background(), installed(next, 'c'))
	var inUse *InUseError
	if !errors.As(err, &inUse) || len(inUse.Uses) != 2 || inUse.Uses[0].Rule != ref("user.a") {
		t.Error(err)
	}
}

func TestUninstall(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := withBoth(t)
	_, err := s.Uninstall(ctx, "core", false)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "rule user.a needs trigger core.tick") {
		t.Error(err)
	}
	if _, err := s.Uninstall(ctx, "nobody", false); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	removed, err := s.Uninstall(ctx, "core", true)
	if err != nil || len(removed) != 2 {
		t.Fatal(removed, err)
	}
	snap := snapshot(t, s)
	if len(snap.Packs) != 1 || len(snap.Rules) != 0 || len(snap.Actions) != 0 {
		t.Errorf("%+v", snap)
	}
	install(t, s, corePack(), 'a')
	if change := install(t, s, userPack(), 'b'); change.Kind != ChangeUpgraded {
		t.Error("the same version must bring its rules back", change)
	}
	if _, err := s.Uninstall(ctx, "user", false); err != nil {
		t.Error(err)
	}
}

func TestSettersNameWhatIsNotThere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := withBoth(t)
	if err := s.SetRuleEnabled(ctx, ref("core.none"), true); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.SetPackConfig(ctx, "none", json.RawMessage(`{}`)); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	err := s.SetPackConfig(ctx, "core", json.RawMessage(`{"level":"x"}`))
	if !errors.Is(err, ErrBadConfig) || !strings.Contains(err.Error(), "level: must be a whole number, not text") {
		t.Error(err)
	}
}

func TestWatchHandsOutEveryChange(t *testing.T) {
	t.Parallel()
	pool, link := dbtest.NewLinked(t)
	s := New(pool)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	snaps := make(chan *Snapshot)
	done := make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, slog.New(slog.DiscardHandler), func(snap *Snapshot) { snaps <- snap })
	}()
	if first := next(t, snaps); len(first.Packs) != 0 {
		t.Error(first)
	}
	install(t, s, corePack(), 'a')
	if second := next(t, snaps); len(second.Packs) != 1 {
		t.Error(second)
	}
	link.Cut()
	link.Restore()
	installAgain(t, s, userPack(), 'b')
	if third := next(t, snaps); len(third.Packs) != 2 {
		t.Error(third)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWatchSeesChangesWhoseNotificationWasLost(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	ctx, cancel := context.WithCancel(context.Background())
	snaps := make(chan *Snapshot)
	w := newWatcher(s, slog.New(slog.DiscardHandler), func(snap *Snapshot) { snaps <- snap })
	w.every = 20 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	first := next(t, snaps)
	exec(t, s.pool, "UPDATE definitions_revision SET revision = revision + 1") // the tables' triggers notify, this does not
	if second := next(t, snaps); second.Revision != first.Revision+1 {
		t.Error(second.Revision)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func next(t *testing.T, snaps <-chan *Snapshot) *Snapshot {
	t.Helper()
	select {
	case snap := <-snaps:
		return snap
	case <-time.After(20 * time.Second):
		t.Fatal("no snapshot")
		return nil
	}
}

// installAgain tries until the pool has noticed that its connections are new.
func installAgain(t *testing.T, s *Store, p pack.Pack, digest byte) {
	t.Helper()
	var err error
	for range 50 {
		if _, err = s.Install(context.Background(), installed(p, digest)); err == nil {
			return
		}
	}
	t.Fatal(err)
}
