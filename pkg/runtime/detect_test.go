package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/version"
)

// fake is a definition of interpreters that tests make.
var fake = map[string]string{"fake.yaml": `
detect: {programs: [fake, "fake[0-9]"], folders: [~/managed/*/bin], ask: [--version]}
run: {program: ["{file}"]}
`}

// interpreters makes scripts, by their paths below a folder.
func interpreters(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := packOf(t, scripts)
	for name := range scripts {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return dir
}

func says(version string) string { return "#!/bin/sh\necho " + version + "\n" }

// fakes detects what interpreters has made, with the folders relative to dir.
func fakes(t *testing.T, dir string, c runtime.DetectConfig, path ...string) (versions []string, passedOver []error) {
	t.Helper()
	defs, err := defined(t, fake)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := runtime.Define(defs, "fake")
	c.Definitions, c.Home = []runtime.Definition{d}, dir
	for _, p := range path {
		c.Path += ":" + filepath.Join(dir, p)
	}
	c.PassedOver = func(_ string, err error) { passedOver = append(passedOver, err) }
	for _, f := range runtime.Detect(t.Context(), c) {
		versions = append(versions, f.Version+" "+strings.TrimPrefix(f.Path, dir+"/"))
	}
	return versions, passedOver
}

func TestEveryVersionIsFoundTheNewestFirst(t *testing.T) {
	t.Parallel()
	dir := interpreters(t, map[string]string{
		"bin/fake": says("3.9.1"), "bin/fake4": says("4.0.0"), "more/fake": says("3.10.0"),
		"managed/a/bin/fake": says("3.9.10"), "managed/b/bin/fake": says("3.9.1"), "given/x/fake": says("1.0.0"), "given/y/fake": says("2.0.0"),
		"bin/fake-config": says("9.9.9"),
	})
	if err := os.Symlink("fake4", filepath.Join(dir, "bin/fake5")); err != nil {
		t.Fatal(err)
	}
	got, passedOver := fakes(t, dir, runtime.DetectConfig{Folders: []string{filepath.Join(dir, "given/*")}}, "bin", "more", "bin", "gone")
	want := []string{"4.0.0 bin/fake4", "3.10.0 more/fake", "3.9.10 managed/a/bin/fake", "3.9.1 bin/fake", "2.0.0 given/y/fake", "1.0.0 given/x/fake"}
	if diff := cmp.Diff(want, got); diff != "" || len(passedOver) > 0 {
		t.Error(diff, passedOver)
	}
}

func TestAnInterpreterThatMisbehavesDelaysNobodyAndIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := interpreters(t, map[string]string{
		"a/fake": says("1.0.0"),
		"b/fake": "#!/bin/sh\nsleep 1000 & sleep 1000\n",
		"c/fake": "#!/bin/sh\nyes 1.2.3\n",
		"d/fake": "#!/bin/sh\nhead -c 10000000 /dev/zero | tr '\\0' 1\n",
		"e/fake": says("not a version"),
		"f/fake": "#!/bin/sh\nprintf '\\033[2J\\n'\n",
		"g/fake": "#!/bin/sh\nexit 0\n",
		"h/fake": "#!/bin/sh\necho 2.0.0; exit 1\n",
		"i/fake": "#!/no/such/interpreter\n",
		"j/fake": "#!/bin/sh\n[ -z \"$FROM_OUTSIDE$PYTHONPATH\" ] && echo 3.0.0\n",
		"k/fake": "#!/bin/sh\nyes noise >&2\n",
		"l/fake": "#!/bin/sh\ntrap '' TERM INT PIPE; while :; do echo 4.0.0; done 2>/dev/null\n",
	})
	began := time.Now()
	got, passedOver := fakes(t, dir, runtime.DetectConfig{Patience: 2 * time.Second, Path: runtime.DefaultPath}, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")
	if diff := cmp.Diff([]string{"3.0.0 j/fake", "1.0.0 a/fake"}, got); diff != "" || len(passedOver) != 10 {
		t.Error(diff, errors.Join(passedOver...))
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAVersionManagersShimsAreAskedOnce(t *testing.T) {
	t.Parallel()
	shim := "#!/bin/sh\necho $(basename $0) >> " + filepath.Join(t.TempDir(), "asked")
	dir := interpreters(t, map[string]string{"shims/fake": shim + "\necho 1.0.0; echo \"$HOME/managed/a/bin/fake\"\n", "shims/fake3": shim, "managed/a/bin/fake": says("1.0.0")})
	got, passedOver := fakes(t, dir, runtime.DetectConfig{Path: runtime.DefaultPath}, "shims")
	if diff := cmp.Diff([]string{"1.0.0 managed/a/bin/fake"}, got); diff != "" || len(passedOver) > 0 {
		t.Error(diff, passedOver)
	}
}

func TestTheNewestVersionInARangeIsChosen(t *testing.T) {
	t.Parallel()
	var found []runtime.Found
	for _, v := range []string{"3.13.0", "3.12.1", "3.9.18", "3.8.18"} {
		found = append(found, runtime.Found{Name: "python", Version: v, Path: "/" + v})
	}
	s := set(t, append(found, runtime.Found{Name: "shell", Version: "5.2.15", Path: "/bin/bash"}))
	for _, tt := range []struct{ name, want, got, err string }{
		{"python", "", "3.13.0", ""},
		{"python", ">=3.9, <3.13", "3.12.1", ""},
		{"python", "~3.9", "3.9.18", ""},
		{"python", ">=3.14", "", "runtime python >=3.14: this runner does not have the runtime: it has 3.13.0, 3.12.1, 3.9.18, 3.8.18"},
		{"shell", ">=5", "5.2.15", ""},
		{"node", ">=20", "", "runtime node >=20: this runner does not have the runtime"},
		{"cobol", "", "", "runtime cobol: this runner does not have the runtime, and no definition of that name"},
	} {
		r, err := version.ParseRange(tt.want)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Choose(tt.name, r)
		if f.Version != tt.got || tt.err == "" != (err == nil) || err != nil && (err.Error() != tt.err || !errors.Is(err, runtime.ErrNoRuntime)) {
			t.Errorf("%s %s: %+v %v", tt.name, tt.want, f, err)
		}
	}
}

func TestThisMachinesInterpretersAreInOrder(t *testing.T) {
	t.Parallel()
	last := runtime.Found{}
	for _, f := range detected() {
		if f.Name == last.Name && version.Compare(f.Version, last.Version) >= 0 {
			t.Errorf("%s comes after %s", f.Version, last.Version)
		}
		last = f
	}
}

func TestDetectTellsVersionsOfWhatItRan(t *testing.T) {
	t.Parallel()
	got := map[string]runtime.Found{}
	for _, f := range detected() {
		got[f.Name] = f
	}
	for _, name := range []string{runtime.Shell, runtime.Python, runtime.Node} {
		f, ok := got[name]
		if !ok || f.Version == "" || !filepath.IsAbs(f.Path) || strings.Contains(f.Path, "shims") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, ok := got[runtime.Native]; !ok {
		t.Error("native programs need nothing, and are not there")
	}
}

func TestDetectPassesOverWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	broken := "#!/bin/sh\necho nonsense >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(broken), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, f := range runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: definitions(), Path: bin + ":" + runtime.DefaultPath}) {
		if f.Name == runtime.Python && strings.HasPrefix(f.Path, bin) {
			t.Errorf("found the broken one: %+v", f)
		}
	}
	for _, f := range runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: definitions(), Path: bin}) {
		if f.Name != runtime.Native {
			t.Errorf("found %+v in a folder without any", f)
		}
	}
}

func BenchmarkDetect(b *testing.B) {
	home, err := os.UserHomeDir()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		runtime.Detect(b.Context(), runtime.DetectConfig{Definitions: definitions(), Path: os.Getenv("PATH"), Home: home})
	}
}
