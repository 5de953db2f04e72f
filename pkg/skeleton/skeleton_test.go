package skeleton_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packtest"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/skeleton"
)

var launcher = sync.OnceValue(func() *process.Launcher {
	l, err := process.NewLauncher(process.Config{Seed: fmt.Sprint("skeleton ", os.Getpid())})
	if err != nil {
		panic(err)
	}
	return l
})

func TestMain(m *testing.M) {
	code := m.Run()
	launcher().Close()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// needs is what a language needs on this machine.
var needs = map[string]string{"python": "python3", "node": "node", "shell": "sh", "ruby": "ruby", "native-go": "go"}

func TestEverySkeletonIsAPackThatPassesItsTests(t *testing.T) {
	t.Parallel()
	defs, err := runtime.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	found := runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: defs, Path: runtime.DefaultPath})
	set, err := runtime.NewSet(runtime.SetConfig{Definitions: defs, Found: found, Dir: t.TempDir(), Path: runtime.DefaultPath})
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range skeleton.Languages() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(needs[language]); err != nil {
				t.Skipf("no %s here", needs[language])
			}
			dir := filepath.Join(t.TempDir(), "my-pack")
			files, err := skeleton.Make(t.Context(), skeleton.Config{Name: "my-pack", Language: language, Dir: dir})
			if err != nil || len(files) < 12 {
				t.Fatal(files, err)
			}
			if p, found := pack.Check(os.DirFS(dir), pack.CheckOptions{}); len(found) > 0 || p.Name != "my-pack" {
				t.Error(found)
			}
			cases := 0
			err = packtest.Run(t.Context(), packtest.Config{Dir: dir, Launcher: launcher(), Runtimes: set}, func(r packtest.Result) {
				if cases++; !r.OK {
					t.Errorf("%s: %s\n%s", r.Title(), strings.Join(r.Failures, "\n"), r.Stderr)
				}
			})
			if err != nil || cases != 5 {
				t.Error(cases, err)
			}
			firstLines(t, dir)
		})
	}
}

// firstLines checks that editors find the schema of every file.
func firstLines(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(string(data), "\n")
			at, ok := strings.CutPrefix(line, "# yaml-language-server: $schema=")
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), at)); !ok || err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
			}
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]skeleton.Config{
		"name \"My\"":    {Name: "My", Language: "shell", Dir: t.TempDir()},
		"want one of":    {Name: "my", Language: "cobol", Dir: t.TempDir()},
		"there is somet": {Name: "my", Language: "shell", Dir: full},
	} {
		if _, err := skeleton.Make(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := skeleton.Make(t.Context(), skeleton.Config{Name: "my", Language: "shell", Dir: full}); !errors.Is(err, skeleton.ErrExists) {
		t.Error(err)
	}
}
