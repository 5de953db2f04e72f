package definitions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/migrations"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/pack"
)

func versioned(version string) pack.Pack {
	p := corePack()
	p.Version = version
	return p
}

func mustRecord(t *testing.T, s *Store, in Installed, when Switch) Recorded {
	t.Helper()
	r, err := s.Record(t.Context(), in, when)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func switchTo(t *testing.T, s *Store, in Installed, v Version) {
	t.Helper()
	if _, err := s.Switch(t.Context(), in, v); err != nil {
		t.Fatal(err)
	}
}

// states gives "version:state" of all versions of the pack core, by their version.
func states(t *testing.T, s *Store) string {
	t.Helper()
	all := snapshot(t, s).VersionsOf("core")
	parts := make([]string, 0, len(all))
	for _, v := range all {
		parts = append(parts, v.Version+":"+string(v.State))
	}
	return strings.Join(parts, " ")
}

func wantStates(t *testing.T, s *Store, want string) {
	t.Helper()
	if got := states(t, s); got != want {
		t.Errorf("versions are %q, want %q", got, want)
	}
}

func TestAVersionGoesInServiceAndTheOneBeforeIsKept(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	first := installed(versioned("1.0.0"), 'a')
	r := mustRecord(t, s, first, SwitchAll)
	if r.Change.Kind != ChangeInstalled || r.Version.State != VersionBuilding || r.Version.Generation != 1 {
		t.Errorf("recorded %+v", r)
	}
	if snap := snapshot(t, s); len(snap.Packs) != 0 || len(snap.Actions) != 0 {
		t.Error("what is only recorded is in service")
	}
	if again := mustRecord(t, s, first, SwitchAny); again.Version.Generation != 1 || again.Version.Switch != SwitchAny {
		t.Errorf("recorded again: %+v", again)
	}
	switchTo(t, s, first, r.Version)
	if _, err := s.Switch(t.Context(), first, r.Version); !errors.Is(err, ErrStale) {
		t.Errorf("a second switch: %v", err)
	}
	second := installed(versioned("2.0.0"), 'b')
	r = mustRecord(t, s, second, SwitchAll)
	if r.Change.Kind != ChangeUpgraded || r.Change.PreviousVersion != "1.0.0" {
		t.Errorf("recorded %+v", r.Change)
	}
	if v := snapshot(t, s).Packs["core"].Version; v != "1.0.0" {
		t.Errorf("%s is in service before the switch", v)
	}
	switchTo(t, s, second, r.Version)
	wantStates(t, s, "2.0.0:active 1.0.0:kept")
	before := snapshot(t, s).Revision
	if r := mustRecord(t, s, second, SwitchAll); r.Change.Kind != ChangeUnchanged || r.Version.State != VersionActive {
		t.Errorf("the same again: %+v", r)
	}
	if after := snapshot(t, s).Revision; after != before {
		t.Error("the same again changed something")
	}
}

func TestWhatIsInTheWayIsFoundBeforeAnythingIsRecorded(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	lost := pack.Pack{Name: "lost", Version: "1.0.0", Rules: []pack.Rule{{Name: "r", Trigger: "nowhere.x", Action: "core.echo"}}}
	if _, err := s.Record(t.Context(), installed(lost, 'c'), SwitchNow); !errors.Is(err, ErrMissing) {
		t.Errorf("rules without their action: %v", err)
	}
	less := corePack()
	less.Version, less.Actions, less.Rules = "2.0.0", nil, nil
	if _, err := s.Record(t.Context(), installed(less, 'c'), SwitchNow); !errors.Is(err, ErrInUse) {
		t.Errorf("what others need is taken away: %v", err)
	}
	foreign := installed(versioned("2.0.0"), 'c')
	foreign.Source = "other"
	if _, err := s.Record(t.Context(), foreign, SwitchNow); !errors.Is(err, ErrConflict) {
		t.Errorf("another source: %v", err)
	}
	mustRecord(t, s, installed(pack.Pack{Name: "new", Version: "1.0.0"}, 'd'), SwitchAll)
	coming := installed(pack.Pack{Name: "new", Version: "1.1.0"}, 'e')
	coming.Source = "other"
	if _, err := s.Record(t.Context(), coming, SwitchAll); !errors.Is(err, ErrConflict) {
		t.Errorf("another source, before the first version is in service: %v", err)
	}
	if all := snapshot(t, s).Versions; len(all) != 3 {
		t.Errorf("recorded %+v", all)
	}
}

func TestALaterInstallGivesUpTheOneBefore(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	one := mustRecord(t, s, installed(versioned("1.0.0"), 'a'), SwitchAll)
	two := installed(versioned("2.0.0"), 'b')
	r := mustRecord(t, s, two, SwitchAll)
	wantStates(t, s, "2.0.0:building 1.0.0:failed")
	if _, err := s.Switch(t.Context(), installed(versioned("1.0.0"), 'a'), one.Version); !errors.Is(err, ErrStale) {
		t.Errorf("what was given up went in service: %v", err)
	}
	if err := s.Fail(t.Context(), one.Version, Failure{Error: "late"}); !errors.Is(err, ErrStale) {
		t.Errorf("what was given up failed: %v", err)
	}
	switchTo(t, s, two, r.Version)
	mustRecord(t, s, installed(versioned("1.0.0"), 'a'), SwitchAll)
	mustRecord(t, s, two, SwitchAll) // the one in service is wanted after all
	wantStates(t, s, "1.0.0:failed 2.0.0:active")
}

func TestAFailedVersionSaysWhyAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	install(t, s, versioned("1.0.0"), 'a')
	two := installed(versioned("2.0.0"), 'b')
	r := mustRecord(t, s, two, SwitchAll)
	why := Failure{Runner: "r1", Error: "pip ended with status 1", Tail: []string{"no such thing", "bye"}}
	if err := s.Fail(t.Context(), r.Version, why); err != nil {
		t.Fatal(err)
	}
	v, err := s.Version(t.Context(), "core", two.Digest)
	if err != nil || v.State != VersionFailed || v.Runner != "r1" || v.Error != why.Error || len(v.Tail) != 2 || v.EndedAt == nil {
		t.Errorf("%+v, %v", v, err)
	}
	if p := snapshot(t, s).Packs["core"]; p.Version != "1.0.0" {
		t.Errorf("%s is in service", p.Version)
	}
	again := mustRecord(t, s, two, SwitchAll).Version
	if again.Generation != 2 || again.State != VersionBuilding || again.Error != "" || again.Runner != "" || len(again.Tail) != 0 {
		t.Errorf("tried again: %+v", again)
	}
	if _, err := s.Switch(t.Context(), two, r.Version); !errors.Is(err, ErrStale) {
		t.Errorf("the first try went in service: %v", err)
	}
}

func TestNeverWaitsForAWord(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	in := installed(versioned("1.0.0"), 'a')
	r := mustRecord(t, s, in, SwitchNever)
	if err := s.Ready(t.Context(), r.Version); err != nil {
		t.Fatal(err)
	}
	if again := mustRecord(t, s, in, SwitchNever).Version; again.State != VersionReady || again.Generation != 1 {
		t.Errorf("asked for again: %+v", again)
	}
	v, err := s.Release(t.Context(), "core")
	if err != nil || v.State != VersionBuilding || v.Switch != SwitchNow {
		t.Errorf("released: %+v, %v", v, err)
	}
	switchTo(t, s, in, v)
	if _, err := s.Release(t.Context(), "core"); !errors.Is(err, ErrNoVersion) {
		t.Errorf("released when nothing waits: %v", err)
	}
	two := installed(versioned("2.0.0"), 'b')
	mustRecord(t, s, two, SwitchNever)
	if v, err := s.Release(t.Context(), "core"); err != nil || v.State != VersionBuilding || v.Switch != SwitchAll {
		t.Errorf("released before it is ready: %+v, %v", v, err)
	}
}

func TestARollbackLeadsToTheVersionBefore(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	all := map[string]Installed{}
	for i, version := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		all[version] = installed(versioned(version), 'a'+byte(i))
		install(t, s, all[version].Pack, 'a'+byte(i))
	}
	for _, step := range []struct{ name, to string }{{"", "2.0.0"}, {"", "3.0.0"}, {"1.0.0", "1.0.0"}, {strings.Repeat("b", 7), "2.0.0"}} {
		v, err := s.Rollback(t.Context(), "core", step.name)
		if err != nil || v.Version != step.to || v.Switch != SwitchNow || v.State != VersionBuilding {
			t.Fatalf("back to %q: %+v, %v", step.name, v, err)
		}
		switchTo(t, s, all[v.Version], v)
		if got := snapshot(t, s).Packs["core"].Version; got != step.to {
			t.Errorf("%s is in service, want %s", got, step.to)
		}
	}
	for name, want := range map[string]string{"2.0.0": "2.0.0 is in service", "9.9.9": "kept are 1.0.0, 3.0.0"} {
		if _, err := s.Rollback(t.Context(), "core", name); !errors.Is(err, ErrNoVersion) || !strings.Contains(err.Error(), want) {
			t.Errorf("back to %s: %v", name, err)
		}
	}
	if _, err := s.Rollback(t.Context(), "nothing", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a pack that is not there: %v", err)
	}
	mustRecord(t, s, installed(versioned("4.0.0"), 'd'), SwitchAll)
	if v, err := s.Rollback(t.Context(), "core", ""); err != nil || v.Version != "1.0.0" {
		t.Errorf("back while another is on its way: %+v, %v", v, err)
	}
	wantStates(t, s, "1.0.0:building 4.0.0:failed 2.0.0:active 3.0.0:kept")
}

// execute puts an execution into history.
func execute(t *testing.T, db *pgxpool.Pool, digest string) (end func()) {
	t.Helper()
	var id string
	err := db.QueryRow(t.Context(), `INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, stream_epoch, fact_seqs)
		VALUES (gen_random_uuid(), 'core.echo', $1, 'requested', 1, now(), now(), 1, '{1}') RETURNING id::text`, digest).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := db.Exec(t.Context(), `UPDATE executions SET status = 'canceled', ended_at = now() WHERE id = $1::uuid`, id); err != nil {
			t.Fatal(err)
		}
	}
}

func unused(t *testing.T, s *Store, grace time.Duration) string {
	t.Helper()
	all, err := s.Unused(t.Context(), grace)
	if err != nil {
		t.Fatal(err)
	}
	newestFirst(all)
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = v.Version
	}
	return strings.Join(names, " ")
}

func TestVersionsAreUnusedAfterTheirLastExecution(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := New(db)
	for i := range 4 {
		install(t, s, versioned(fmt.Sprintf("%d.0.0", i+1)), 'a'+byte(i))
	}
	mustRecord(t, s, installed(versioned("5.0.0"), 'e'), SwitchAll)
	end := execute(t, db, strings.Repeat("a", 64))
	if got := unused(t, s, time.Hour); got != "" {
		t.Errorf("within the grace unused are %q", got)
	}
	if got := unused(t, s, 0); got != "2.0.0" {
		t.Errorf("unused are %q, want 2.0.0: 1.0.0 runs, 3.0.0 can be returned to, 4.0.0 is in service", got)
	}
	end()
	if got := unused(t, s, 0); got != "2.0.0 1.0.0" {
		t.Errorf("after the last execution unused are %q", got)
	}
	end = execute(t, db, strings.Repeat("d", 64))
	if _, err := s.Uninstall(t.Context(), "core", false); err != nil {
		t.Fatal(err)
	}
	wantStates(t, s, "5.0.0:retired 4.0.0:retired 3.0.0:retired 2.0.0:retired 1.0.0:retired")
	if got := unused(t, s, 0); got != "5.0.0 3.0.0 2.0.0 1.0.0" {
		t.Errorf("of an uninstalled pack unused are %q", got)
	}
	end()
	if got := unused(t, s, 0); got != "5.0.0 4.0.0 3.0.0 2.0.0 1.0.0" {
		t.Errorf("of an uninstalled pack unused are %q", got)
	}
	if _, err := s.Uninstall(t.Context(), "core", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("uninstalled twice: %v", err)
	}
}

func TestAVersionIsRemovedWithWhatBelongsToItOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	for i := range 3 {
		install(t, s, versioned(fmt.Sprintf("%d.0.0", i+1)), 'a'+byte(i))
	}
	all, err := s.Unused(t.Context(), 0)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	away := errors.New("the bus is away")
	if err := s.Remove(t.Context(), all[0], 0, func() error { return away }); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
	wantStates(t, s, "3.0.0:active 2.0.0:kept 1.0.0:kept")
	began, goOn := make(chan struct{}), make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		if err := s.Remove(context.Background(), all[0], 0, func() error { close(began); <-goOn; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-began
	recorded := make(chan Recorded, 1)
	g.Go(func() {
		r, err := s.Record(context.Background(), installed(versioned("1.0.0"), 'a'), SwitchAll)
		if err != nil {
			t.Error(err)
		}
		recorded <- r
	})
	close(goOn)
	g.Wait()
	if r := <-recorded; r.Version.Generation != 1 || r.Version.SwitchedAt != nil {
		t.Errorf("installed again: %+v", r.Version)
	}
	if err := s.Remove(t.Context(), all[0], 0, func() error { t.Error("cleared"); return nil }); !errors.Is(err, ErrStale) {
		t.Errorf("what is needed again: %v", err)
	}
}

func TestTwentyAtOnceAreOne(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	in := installed(versioned("1.0.0"), 'a')
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			if r, err := s.Record(context.Background(), in, SwitchAll); err != nil || r.Version.Generation != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	g.Wait()
	wantStates(t, s, "1.0.0:building")
}

// migration reads what one does, and what takes it back.
func migration(t *testing.T, name string) (up, down string) {
	t.Helper()
	sql, err := migrations.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ = strings.Cut(string(sql), "-- +goose Down")
	return up, down
}

func TestPacksFromBeforeVersionsWereKeptAreInService(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := New(db)
	install(t, s, corePack(), 'a')
	up, down := migration(t, "0006_pack_versions.sql")
	later, _ := migration(t, "0007_pack_origin.sql")
	for _, statements := range []string{down, up, later} {
		if _, err := db.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	wantStates(t, s, "1.0.0:active")
	if r := mustRecord(t, s, installed(corePack(), 'a'), SwitchAll); r.Change.Kind != ChangeUnchanged {
		t.Errorf("%+v", r)
	}
}
