package environment_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/environment"
)

const makeEnv = `mkdir "$1" && echo built > "$1/built"`

func TestAPackIsBuiltOnceAndUsedFromThenOn(t *testing.T) {
	t.Parallel()
	y := newToy(t, "1.2.3", makeEnv)
	s := newSite(t, y.job())
	q := toyPack(t)
	if _, err := s.store.Use(t.Context(), q.Digest); !errors.Is(err, environment.ErrNotBuilt) {
		t.Fatalf("before: %v", err)
	}
	e := s.build(q)
	if _, err := os.Stat(filepath.Join(e.Env("toy"), "built")); err != nil {
		t.Error(err)
	}
	if f, _, ok := e.Interpreter("toy"); !ok || f.Version != "1.2.3" || f.Path != filepath.Join(y.bin, "toy") {
		t.Errorf("interpreter: %+v", e.Runtimes)
	}
	again := s.build(q)
	if again != e {
		t.Error("it was built again")
	}
	other := newSite(t, job{Dir: s.dir, Path: "/nowhere"}) // it need not look for anything
	used, err := other.store.Use(t.Context(), q.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer used.Release()
	if used.Pack != e.Pack {
		t.Errorf("%s is not %s", used.Pack, e.Pack)
	}
}

func TestThePackIsReadOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, newToy(t, "1.0.0", makeEnv).job())
	e := s.build(toyPack(t))
	for name, want := range map[string]os.FileMode{"": 0o555, "actions": 0o555, "actions/a.toy": 0o444} {
		info, err := os.Stat(filepath.Join(e.Pack, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%q has mode %o", name, info.Mode().Perm())
		}
	}
}

func TestAllWhoAskShareOneBuild(t *testing.T) {
	t.Parallel()
	count := filepath.Join(t.TempDir(), "count")
	s := newSite(t, newToy(t, "1.0.0", `echo x >> `+count+`; `+makeEnv).job())
	q := toyPack(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			e, err := s.store.Build(t.Context(), q)
			if err != nil {
				t.Error(err)
				return
			}
			e.Release()
		})
	}
	all.Wait()
	if text, err := os.ReadFile(count); err != nil || string(text) != "x\n" {
		t.Errorf("built %q times: %v", text, err)
	}
}

func TestWhoStopsWaitingEndsNoBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSite(t, newToy(t, "1.0.0", `touch `+dir+`/began; until test -e `+dir+`/go; do sleep 0.02; done; `+makeEnv).job())
	q := toyPack(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := s.store.Build(ctx, q); first <- err }()
	eventually(t, "the build begins", func() bool { _, err := os.Stat(dir + "/began"); return err == nil })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	write(t, dir+"/go", "")
	e := s.build(q)
	if got := s.tries(q.Digest); len(got) != 1 || filepath.Base(filepath.Dir(e.Pack)) != "1" {
		t.Errorf("tries: %v", got)
	}
}

func TestWhatIsRetiredGoesAfterItsLastUse(t *testing.T) {
	t.Parallel()
	s := newSite(t, newToy(t, "1.0.0", makeEnv).job())
	q := toyPack(t)
	e, err := s.store.Build(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	neighbour := newSite(t, job{Dir: s.dir, Path: "/nowhere"})
	theirs, err := neighbour.store.Use(t.Context(), q.Digest)
	if err != nil {
		t.Fatal(err)
	}
	s.store.Retire(q.Digest)
	if _, err := os.Stat(e.Pack); err != nil {
		t.Fatalf("removed while it is used: %v", err)
	}
	e.Release()
	neighbour.store.Retire(q.Digest)
	if _, err := os.Stat(theirs.Pack); err != nil {
		t.Fatalf("removed while another process uses it: %v", err)
	}
	theirs.Release()
	eventually(t, "the folder goes", func() bool {
		left, err := filepath.Glob(filepath.Join(s.dir, q.Digest+"*"))
		return err == nil && len(left) == 0
	})
}

func TestRetiringEndsABuild(t *testing.T) {
	t.Parallel()
	sleep := token()
	s := newSite(t, newToy(t, "1.0.0", "sleep "+sleep).job())
	q := toyPack(t)
	done := make(chan error, 1)
	go func() { _, err := s.store.Build(t.Context(), q); done <- err }()
	eventually(t, "the build runs", func() bool { return alive(sleep) > 0 })
	s.store.Retire(q.Digest)
	if err := <-done; !errors.Is(err, environment.ErrRetired) {
		t.Errorf("build: %v", err)
	}
	eventually(t, "the folder goes", func() bool {
		left, err := filepath.Glob(filepath.Join(s.dir, q.Digest+"*"))
		return err == nil && len(left) == 0
	})
	if n := alive(sleep); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestSweepingRemovesWhatNobodyWantsAndWhatIsHalf(t *testing.T) {
	t.Parallel()
	s := newSite(t, newToy(t, "1.0.0", makeEnv).job())
	q := toyPack(t)
	e := s.build(q)
	unknown, half := strings.Repeat("a", 64), filepath.Join(s.dir, q.Digest, "7", "pack")
	write(t, filepath.Join(s.dir, unknown, "3", "pack", "f"), "")
	write(t, filepath.Join(half, "f"), "")
	if err := s.store.Sweep(func(digest string) bool { return digest == q.Digest }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only what is complete is left", func() bool {
		_, first := os.Stat(filepath.Join(s.dir, unknown))
		_, second := os.Stat(half)
		return os.IsNotExist(first) && os.IsNotExist(second)
	})
	if _, err := os.Stat(e.Pack); err != nil {
		t.Error(err)
	}
}

func TestAPackGoesOnWithItsInterpreterAndIsBuiltAgainWhenThatHasChanged(t *testing.T) {
	t.Parallel()
	y := newToy(t, "1.2.3", makeEnv)
	s := newSite(t, y.job())
	q := toyPack(t)
	first := s.build(q)
	y.install(t, "1.2.4")
	if e := s.build(q); e.Pack != first.Pack {
		t.Error("another patch version had it built again")
	}
	y.install(t, "1.3.0")
	second := s.build(q)
	if f, _, _ := second.Interpreter("toy"); second.Pack == first.Pack || f.Version != "1.3.0" {
		t.Errorf("another minor version did not: %+v", f)
	}
	if _, err := os.Stat(first.Pack); err != nil {
		t.Errorf("what is used was removed: %v", err)
	}
	if err := os.Remove(filepath.Join(y.bin, "toy")); err != nil {
		t.Fatal(err)
	}
	third := s.build(q)
	if _, lack, ok := third.Interpreter("toy"); ok || environment.Lacks(lack) != "runtime toy (any version) is not on this runner (none of its versions is here)" {
		t.Errorf("without an interpreter: %q", environment.Lacks(lack))
	}
	y.install(t, "1.3.0")
	if _, _, ok := s.build(q).Interpreter("toy"); !ok {
		t.Error("it did not notice that the interpreter is back")
	}
}

func TestADigestThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, job{Path: "/nowhere"})
	for _, digest := range []string{"", "..", "../../etc", strings.Repeat("A", 64)} {
		if _, err := s.store.Use(t.Context(), digest); !errors.Is(err, environment.ErrDigest) {
			t.Errorf("%q: %v", digest, err)
		}
	}
	q := archive(t, nil)
	q.Digest = strings.Repeat("0", 64)
	if f := s.fails(q); f.Class != environment.BadPack || !errors.Is(f, environment.ErrDigest) {
		t.Errorf("another archive: %v", f)
	}
}
