package environment_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

func TestMain(m *testing.M) {
	if job := os.Getenv("ENVIRONMENT_TEST_JOB"); job != "" {
		beBuilder(job)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience bounds what a test waits for.
const patience = 3 * time.Minute

// site is a machine for tests: a PATH, runtimes, and a store.
type site struct {
	t     testing.TB
	store *environment.Store
	dir   string // of the store
}

// job is what a site is made of. Other processes get it as JSON.
type job struct {
	Dir, Seed, Path string
	Definitions     []string // folders; empty: what Attune brings
	PathOnly        bool     // interpreters are looked for nowhere else
	Options         map[string]string
	Env             []string
	Timeout         time.Duration
	MaxBytes        int64
	Pack            string // archive, for beBuilder
}

func newSite(t testing.TB, j job) *site {
	t.Helper()
	if j.Dir == "" {
		j.Dir = filepath.Join(t.TempDir(), "packs")
	}
	j.Seed = t.TempDir()
	store, closeStore, err := openStore(j)
	if err != nil {
		t.Fatal(err)
	}
	removable(t, j.Dir)
	t.Cleanup(closeStore)
	return &site{t: t, store: store, dir: j.Dir}
}

// removable has a store's folder removed at the end of the test, which t.TempDir cannot do for an ordinary user: nobody
// may write to packs.
func removable(t testing.TB, dir string) {
	t.Helper()
	t.Cleanup(func() {
		if err := environment.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

func openStore(j job) (*environment.Store, func(), error) {
	defs, err := runtime.Definitions(j.Definitions...)
	if err != nil {
		return nil, nil, err
	}
	for i := range defs {
		if j.PathOnly {
			defs[i].Detect.Folders = nil
		}
	}
	launcher, err := process.NewLauncher(process.Config{Seed: j.Seed})
	if err != nil {
		return nil, nil, err
	}
	have := func(ctx context.Context) (environment.Runtimes, error) {
		found := runtime.Detect(ctx, runtime.DetectConfig{Definitions: defs, Path: j.Path})
		return runtime.NewSet(runtime.SetConfig{Definitions: defs, Found: found, Dir: j.Seed, Path: j.Path})
	}
	store, err := environment.Open(environment.Config{
		Dir: j.Dir, Launcher: launcher, Definitions: defs, Runtimes: have, Path: j.Path, Options: j.Options, Env: j.Env,
		Timeout: j.Timeout, MaxBytes: j.MaxBytes,
	})
	return store, func() { store.Close(); launcher.Close() }, err
}

// archive makes a pack of files, and gives its digest and a request for it.
func archive(t testing.TB, files map[string]string) environment.Request {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "p")
	if _, ok := files["pack.yaml"]; !ok {
		write(t, filepath.Join(dir, "pack.yaml"), "name: p\nversion: 1.0.0\n")
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	digest, data, err := pack.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	return environment.Request{Digest: digest, Archive: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// build builds, and gives the environment back at the end of the test at the latest.
func (s *site) build(q environment.Request) *environment.Environment {
	s.t.Helper()
	var log bytes.Buffer
	if q.Log == nil {
		q.Log = &log
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	e, err := s.store.Build(ctx, q)
	if err != nil {
		s.t.Fatalf("build: %v\n%s", err, log.String())
	}
	s.t.Cleanup(e.Release)
	return e
}

// fails builds what cannot be built.
func (s *site) fails(q environment.Request) *environment.Failure {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	e, err := s.store.Build(ctx, q)
	if err == nil {
		e.Release()
		s.t.Fatal("it was built")
	}
	failure, ok := errors.AsType[*environment.Failure](err)
	if !ok {
		s.t.Fatalf("not a Failure: %v", err)
	}
	return failure
}

// tries lists the tries of a digest that are on the disk.
func (s *site) tries(digest string) (names []string) {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(s.dir, digest, "[0-9]*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range all {
		names = append(names, filepath.Base(name))
	}
	return names
}

// toy is a runtime of one interpreter, a script, whose build is a shell command.
type toy struct{ defs, bin string }

func newToy(t testing.TB, version, build string) toy {
	t.Helper()
	y := toy{defs: t.TempDir(), bin: t.TempDir()}
	text, err := json.Marshal(build)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(y.defs, "toy.yaml"), fmt.Sprintf(`description: for tests
detect:
  programs: [toy]
  ask: [--version]
build:
  - name: make it
    run: [/bin/sh, -c, %s, sh, "{env}", "{pack}"]
run:
  program: ["{file}"]
`, text))
	y.install(t, version)
	return y
}

// install puts an interpreter of a version in the place of the one before.
func (y toy) install(t testing.TB, version string) {
	t.Helper()
	file := filepath.Join(y.bin, "toy")
	write(t, file+".new", "#!/bin/sh\necho "+version+"\n")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func (y toy) job() job {
	return job{Definitions: []string{y.defs}, Path: y.bin + ":/usr/bin:/bin"}
}

// toyPack is a pack with an action of runtime toy.
func toyPack(t testing.TB) environment.Request {
	t.Helper()
	return archive(t, map[string]string{
		"actions/a.yaml": "runtime: toy\nentry_point: a.toy\n", "actions/a.toy": "hello " + t.Name() + "\n",
	})
}

// eventually waits for something that can only be looked at.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// alive counts the processes with a text in their command line.
func alive(text string) (n int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(line, []byte(text)) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			n++
		}
	}
	return n
}

// token is a number of seconds that no other process sleeps.
func token() string { return fmt.Sprintf("9%d%d", os.Getpid(), time.Now().UnixNano()%1e9) }

// safe is a buffer for a writer in another goroutine.
type safe struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
