package environment_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/environment"
)

// beBuilder is a process of its own that builds a pack and tells what came of it.
func beBuilder(text string) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	store, closeStore, err := openStore(j)
	if err != nil {
		panic(err)
	}
	defer closeStore()
	digest := strings.TrimSuffix(filepath.Base(j.Pack), ".zst")
	e, err := store.Build(context.Background(), environment.Request{
		Digest: digest, Archive: func(context.Context) (io.ReadCloser, error) { return os.Open(j.Pack) },
	})
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println(e.Pack)
	e.Release()
}

// builder starts such a process.
func builder(t *testing.T, j job, q environment.Request) (cmd *exec.Cmd, out *safe) {
	t.Helper()
	removable(t, j.Dir)
	j.Seed, j.Pack = t.TempDir(), filepath.Join(t.TempDir(), q.Digest+".zst")
	r, err := q.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	write(t, j.Pack, string(data))
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	out = &safe{}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ENVIRONMENT_TEST_JOB="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func TestTwoProcessesBuildOneDigestOnce(t *testing.T) {
	t.Parallel()
	count := filepath.Join(t.TempDir(), "count")
	j := newToy(t, "1.0.0", `echo x >> `+count+`; sleep 0.2; `+makeEnv).job()
	j.Dir = filepath.Join(t.TempDir(), "packs")
	q := toyPack(t)
	var outs []*safe
	var cmds []*exec.Cmd
	for range 3 {
		cmd, out := builder(t, j, q)
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	for n, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v", n, err)
		}
		if got := outs[n].String(); got != filepath.Join(j.Dir, q.Digest, "1", "pack")+"\n" {
			t.Errorf("process %d: %s", n, got)
		}
	}
	if text, err := os.ReadFile(count); err != nil || string(text) != "x\n" {
		t.Errorf("built %q times: %v", text, err)
	}
}

func TestAKilledBuildIsNeverUsed(t *testing.T) {
	t.Parallel()
	sleep, flag := token(), filepath.Join(t.TempDir(), "flag")
	j := newToy(t, "1.0.0", `test ! -e "$1" && mkdir "$1" && if test -e `+flag+`; then echo whole > "$1/built"; else touch `+flag+`; echo half > "$1/built"; sleep `+sleep+`; fi`).job()
	j.Dir = filepath.Join(t.TempDir(), "packs")
	q := toyPack(t)
	cmd, out := builder(t, j, q)
	eventually(t, "the build is half done", func() bool { _, err := os.Stat(flag); return err == nil })
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("it ended well: %s", out)
	}
	s := newSite(t, j)
	if _, err := s.store.Use(t.Context(), q.Digest); err == nil {
		t.Fatal("half an environment was used")
	}
	e := s.build(q)
	if text, err := os.ReadFile(filepath.Join(e.Env("toy"), "built")); err != nil || string(text) != "whole\n" {
		t.Errorf("built: %q, %v", text, err)
	}
	if got := s.tries(q.Digest); len(got) != 1 {
		t.Errorf("tries: %v", got)
	}
	eventually(t, "nothing of the killed build runs", func() bool { return alive(sleep) == 0 })
}

func TestNothingOutlivesABuild(t *testing.T) {
	t.Parallel()
	sleep := token()
	s := newSite(t, newToy(t, "1.0.0", `sleep `+sleep+` & setsid sleep `+sleep+` >/dev/null 2>&1 & env -i setsid sh -c 'sleep `+sleep+` & sleep `+sleep+`' & `+makeEnv).job())
	s.build(toyPack(t))
	if n := alive(sleep); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestABuildThatNeverEndsIsEnded(t *testing.T) {
	t.Parallel()
	sleep := token()
	j := newToy(t, "1.0.0", `trap '' TERM; echo I shall never end; mkdir "$1"; setsid sleep `+sleep+` & while :; do sleep `+sleep+`; done`).job()
	j.Timeout = 5 * time.Second // most often a shell has begun by then
	s := newSite(t, j)
	q := toyPack(t)
	f := s.fails(q)
	said := f.Line() == "I shall never end" || len(f.Tail) == 0 // when none has
	if f.Class != environment.BuildTimeout || f.Step != "toy 1.0.0: make it" || !said {
		t.Errorf("failure: %+v", f)
	}
	if n := alive(sleep); n != 0 || len(s.tries(q.Digest)) != 0 {
		t.Errorf("left: %d processes, tries %v", n, s.tries(q.Digest))
	}
}

func TestABuildThatFillsTheDiskIsEnded(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]string{
		"one file":   `head -c 100000000 /dev/zero > "$2/big"`,
		"many files": `i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > "$2/f$i"; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newToy(t, "1.0.0", fill).job()
			j.MaxBytes = 8 << 20
			s := newSite(t, j)
			q := toyPack(t)
			if f := s.fails(q); f.Class != environment.TooLarge {
				t.Errorf("failure: %v", f)
			}
			if got := s.tries(q.Digest); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
		})
	}
}

func TestAFullDiskIsToldAndTheNextBuildSucceeds(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	j := newToy(t, "1.0.0", `head -c 4000000 /dev/zero > "$2/big" && `+makeEnv).job()
	j.Dir = filepath.Join(disk, "packs")
	s := newSite(t, j)
	q := toyPack(t)
	ballast := filepath.Join(disk, "ballast")
	write(t, ballast, strings.Repeat("x", 6<<20))
	f := s.fails(q)
	if f.Class != environment.DiskFull || !strings.Contains(f.Error(), "No space left on device") {
		t.Errorf("failure: %v", f)
	}
	if got := s.tries(q.Digest); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.build(q)
}

func TestAFailureShowsTheLastLinesOfTheTool(t *testing.T) {
	t.Parallel()
	script := `i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "line $i"; done
printf '\033[31mERROR: no such thing\033[0m at https://me:secret@host/x\n\n' >&2; printf 'a hint\007'; exit 3`
	s := newSite(t, newToy(t, "1.0.0", script).job())
	q := toyPack(t)
	var log bytes.Buffer
	q.Log = &log
	f := s.fails(q)
	if f.Class != environment.BuildFailed || f.Line() != "ERROR: no such thing at https://****@host/x" || f.Tail[len(f.Tail)-1] != "a hint" || len(f.Tail) > 20 {
		t.Errorf("failure: %v\n%s", f, strings.Join(f.Tail, "\n"))
	}
	if want := "build_failed: toy 1.0.0: make it: exit status 3: ERROR: no such thing at https://****@host/x"; f.Error() != want {
		t.Errorf("%q is not %q", f.Error(), want)
	}
	if text := log.String(); strings.Contains(text, "secret") || !strings.Contains(text, "\n$ /bin/sh -c ") || !strings.Contains(text, "line 1\n") {
		t.Errorf("log: %s", text)
	}
}

func TestABuildSeesNothingOfTheOutside(t *testing.T) {
	t.Setenv("ATTUNE_TOKEN", "hidden")
	j := newToy(t, "1.0.0", `mkdir "$1" && env | sort > "$1/env" && ls -A "$HOME" > "$1/home"`).job()
	j.Env = []string{"CC=clang"}
	s := newSite(t, j)
	e := s.build(toyPack(t))
	text, err := os.ReadFile(filepath.Join(e.Env("toy"), "env"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "CC HOME LANG PATH PWD TMPDIR" && got != "CC HOME LANG PATH PWD SHLVL TMPDIR _" {
		t.Errorf("environment: %s", got)
	}
	if home, err := os.ReadFile(filepath.Join(e.Env("toy"), "home")); err != nil || len(home) != 0 {
		t.Errorf("home: %q, %v", home, err)
	}
}
