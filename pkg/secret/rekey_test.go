package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

const (
	patience = time.Minute
	soon     = 20 * time.Millisecond
)

// eventually waits for something that is bound to come.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(soon / 4)
	defer tick.Stop()
	for end := time.After(patience); !is(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

// start opens a store and has it look after its keys, as the API does.
func start(t testing.TB, pool *pgxpool.Pool, sources ...secret.Source) *secret.Store {
	t.Helper()
	s, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: sources, Every: soon, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
	})
	return s
}

// fill makes many secrets of several owners, some with several versions.
func fill(t testing.TB, s *secret.Store, n int) map[secret.Ref]string {
	t.Helper()
	all := map[secret.Ref]string{}
	for i := range n {
		ref := secret.Ref{Owner: []secret.Owner{secret.Global, secret.OfPack("shop"), secret.OfUser("eve"), secret.OfExecution(someID)}[i%4], Name: fmt.Sprintf("S%d", i)}
		for v := range 1 + i%2 {
			all[ref] = fmt.Sprintf("%s %d %d", canary, i, v)
			put(t, s, ref.Owner, ref.Name, all[ref], time.Duration(i%3)*time.Hour)
		}
	}
	return all
}

// readable finds that every secret has its value.
func readable(t testing.TB, s *secret.Store, all map[secret.Ref]string) {
	t.Helper()
	for ref, want := range all {
		if v, err := s.Get(t.Context(), ref.Owner, ref.Name); err != nil || string(v) != want {
			t.Errorf("%s: %q, %v", ref, v, err)
		}
	}
}

func keys(t testing.TB, s *secret.Store) secret.KeyStatus {
	t.Helper()
	st, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// states gives how many data keys each state of key has, in words.
func states(st secret.KeyStatus) string {
	var b strings.Builder
	for _, k := range st.Keys {
		fmt.Fprintf(&b, "%s %d, ", k.State, k.Wraps)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func awaitStates(t testing.TB, s *secret.Store, want string) secret.KeyStatus {
	t.Helper()
	var st secret.KeyStatus
	eventually(t, want, func() bool { st = keys(t, s); return states(st) == want })
	return st
}

func rekey(t testing.TB, s *secret.Store, id string) {
	t.Helper()
	if err := s.Rekey(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsGoOverToANewKeyAndAreReadableAllTheTime(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	s, other := start(t, pool, secret.KeyFile(file)), start(t, pool, secret.KeyFile(file))
	all := fill(t, s, 80) // 120 versions
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- readOn(reading, other, all) }()
	rekey(t, s, "")
	awaitStates(t, s, "current 120, retired 0")
	stop()
	if err := <-done; err != nil {
		t.Errorf("while the key changed: %v", err)
	}
	readable(t, other, all)
	put(t, other, secret.Global, "NEW", canary, 0)
	awaitStates(t, other, "current 121, retired 0")
	content, err := os.ReadFile(file)
	if err != nil || bytes.Count(content, []byte("\n")) != 2 {
		t.Fatalf("key file of %d bytes, %v", len(content), err)
	}
	fresh, old, _ := bytes.Cut(content, []byte("\n"))
	onlyFresh, onlyOld := keyFile(t), keyFile(t)
	writeKey(t, onlyFresh, fresh)
	writeKey(t, onlyOld, old)
	readable(t, open(t, pool, onlyFresh), all)
	if _, err := secret.Open(t.Context(), pool, onlyOld); !errors.Is(err, secret.ErrKeyWrong) {
		t.Errorf("with the old key alone: %v", err)
	}
}

// readOn reads secrets until ctx ends.
func readOn(ctx context.Context, s *secret.Store, all map[secret.Ref]string) error {
	for {
		for ref, want := range all {
			v, err := s.Get(ctx, ref.Owner, ref.Name)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil || string(v) != want {
				return fmt.Errorf("%s: %q, %w", ref, v, err)
			}
		}
	}
}

func TestNothingIsSealedWithAKeyThatSomeProcessLacks(t *testing.T) {
	t.Parallel()
	pool, here, there := dbtest.New(t), keyFile(t), keyFile(t)
	s := start(t, pool, secret.KeyFile(here))
	content, err := os.ReadFile(here)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, there, content)
	other := start(t, pool, secret.KeyFile(there))
	all := fill(t, s, 4)
	rekey(t, s, "")
	st := keys(t, s)
	if states(st) != "current 6, next 0" || len(st.Lacking) != 1 || !st.Keys[1].Here || keys(t, other).Keys[1].Here {
		t.Errorf("keys %+v", st)
	}
	rekey(t, other, "") // which has no say while a change is on its way
	put(t, s, secret.Global, "NEW", canary, 0)
	if got := states(keys(t, s)); got != "current 7, next 0" {
		t.Errorf("keys: %s", got)
	}
	if content, err = os.ReadFile(here); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	writeKey(t, there, content)
	awaitStates(t, other, "current 7, retired 0")
	readable(t, s, all)
	readable(t, other, all)
}

func TestAProcessThatGivesNoSignOfLifeDoesNotHinderANewKey(t *testing.T) {
	t.Parallel()
	pool, here := dbtest.New(t), keyFile(t)
	s := start(t, pool, secret.KeyFile(here))
	all := fill(t, s, 4)
	content, err := os.ReadFile(here)
	if err != nil {
		t.Fatal(err)
	}
	there := keyFile(t)
	writeKey(t, there, content)
	dead := open(t, pool, there)
	rekey(t, s, "")
	if st := keys(t, s); states(st) != "current 6, next 0" || len(st.Lacking) != 1 {
		t.Errorf("keys %+v", st)
	}
	execute(t, pool, "UPDATE secret_holders SET seen_at = now() - interval '61 seconds' WHERE seen_at < (SELECT max(seen_at) FROM secret_holders)")
	awaitStates(t, s, "current 6, retired 0")
	if _, err := dead.Get(t.Context(), secret.Global, "S0"); !errors.Is(err, secret.ErrKeyWrong) {
		t.Errorf("it comes back without the key: %v", err)
	}
	if _, err := dead.Put(t.Context(), secret.Global, "S0", []byte(canary), 0); !errors.Is(err, secret.ErrKeyWrong) {
		t.Errorf("it sets a secret: %v", err)
	}
	readable(t, s, all)
}

func TestAKeyThatWasUsedBeforeIsTakenOnlyByName(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	s := start(t, pool, secret.KeyFile(file))
	all := fill(t, s, 4)
	first := keys(t, s).Keys[0].ID
	rekey(t, s, "")
	second := awaitStates(t, s, "current 6, retired 0").Keys[0].ID
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	writeKey(t, file, bytes.Join([][]byte{[]byte("# swapped\n\n"), lines[1], lines[0]}, nil))
	for id, want := range map[string]error{"": secret.ErrNoNewKey, second: secret.ErrNoNewKey, foreign: secret.ErrKeyWrong} {
		if err := s.Rekey(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("go over to %q: %v", id, err)
		}
	}
	rekey(t, s, first)
	if st := awaitStates(t, s, "current 6, retired 0"); st.Keys[0].ID != first {
		t.Errorf("keys %+v", st)
	}
	readable(t, s, all)
}

func TestAVersionThatDoesNotOpenKeepsItsKeyAndHindersNoOther(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	s := start(t, pool, secret.KeyFile(file))
	all := fill(t, s, 80)
	broken := secret.Ref{Owner: secret.Global, Name: "S0"}
	delete(all, broken)
	execute(t, pool, "UPDATE secret_versions SET wrapped_key = set_bit(wrapped_key, 300, 1 - get_bit(wrapped_key, 300)) WHERE name = 'S0'")
	rekey(t, s, "")
	st := awaitStates(t, s, "current 119, old 1")
	eventually(t, "the broken one is counted", func() bool { return keys(t, s).Broken == 1 })
	readable(t, s, all)
	if left := st.Left(); left != 1 {
		t.Errorf("%d are left", left)
	}
	if err := s.Delete(t.Context(), broken.Owner, broken.Name); err != nil {
		t.Fatal(err)
	}
	awaitStates(t, s, "current 119, retired 0")
}

func TestRotationMakesFreshDataKeysAndLeavesValuesAndVersions(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := start(t, pool, secret.KeyFile(keyFile(t)))
	all := fill(t, s, 80)
	before, after := snapshot(t, pool), map[string]string(nil)
	if err := s.RotateAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all data keys are fresh", func() bool { return keys(t, s).ToRotate == 0 })
	after = snapshot(t, pool)
	if len(before) != 120 || len(after) != 120 {
		t.Fatalf("%d and %d versions", len(before), len(after))
	}
	for row, sealed := range before {
		if after[row] == "" || after[row] == sealed {
			t.Errorf("%s was not sealed anew", row)
		}
	}
	readable(t, s, all)
	if err := s.Rotate(t.Context(), secret.OfPack("shop"), "S1"); err != nil {
		t.Fatal(err)
	}
	var changed []string
	for row, sealed := range snapshot(t, pool) {
		if sealed != after[row] {
			changed = append(changed, row[:len("pack:shop S1")])
		}
	}
	if strings.Join(changed, ",") != "pack:shop S1,pack:shop S1" {
		t.Errorf("rotating one changed %q", changed)
	}
	readable(t, s, all)
	if err := s.Rotate(t.Context(), secret.Global, "NONE"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("rotate what there is not: %v", err)
	}
}

// snapshot gives what is sealed of every version, by all that a rotation does not change.
func snapshot(t testing.TB, pool *pgxpool.Pool) map[string]string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT concat_ws(' ', v.owner, v.name, v.version, v.created_at, v.expires_at, v.key_id, s.updated_at), encode(v.sealed || v.wrapped_key, 'hex')
		FROM secret_versions v JOIN secrets s USING (owner, name)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var row, sealed string
		if err := rows.Scan(&row, &sealed); err != nil {
			t.Fatal(err)
		}
		all[row] = sealed
	}
	return all
}
