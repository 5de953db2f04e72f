package environment_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/runtime"
)

// pythons are the interpreters of this machine by minor version, found once for all tests.
var pythons = sync.OnceValue(func() map[string]runtime.Found {
	defs, err := runtime.Definitions()
	if err != nil {
		panic(err)
	}
	home, _ := os.UserHomeDir()
	all := map[string]runtime.Found{}
	for _, f := range runtime.Detect(context.Background(), runtime.DetectConfig{Definitions: defs, Path: "/usr/local/bin:/usr/bin:/bin", Home: home}) {
		minor := strings.Join(strings.SplitN(f.Version, ".", 3)[:min(2, strings.Count(f.Version, ".")+1)], ".")
		if f.Name == runtime.Python && exec.Command(f.Path, "-c", "import venv, ensurepip").Run() == nil {
			all[minor] = f
		}
	}
	return all
})

// newer lists the minor versions that are here, the newest first, from 3.9 on: their pip makes environments fast.
func newer() []string {
	var all []string
	for minor := range pythons() {
		if n := strings.TrimPrefix(minor, "3."); len(n) > 1 || n >= "9" {
			all = append(all, minor)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(b, a)) })
	return all
}

// need skips a test that needs more Pythons than there are.
func need(t *testing.T, n int) []string {
	t.Helper()
	have := newer()
	if len(have) < n {
		t.Skipf("needs %d versions of Python from 3.9 on with venv and ensurepip, and finds %d: %v", n, len(have), have)
	}
	return have
}

// pythonJob has only those versions of Python, in a folder of links as a system has them.
func pythonJob(t *testing.T, minors ...string) job {
	t.Helper()
	bin := t.TempDir()
	for _, minor := range minors {
		if err := os.Symlink(pythons()[minor].Path, filepath.Join(bin, "python"+minor)); err != nil {
			t.Fatal(err)
		}
	}
	return job{Path: bin + ":/bin", PathOnly: true, Options: map[string]string{"pip_find_links": t.TempDir(), "pip_index_url": "http://127.0.0.1:9/nothing"}}
}

// wheel makes a package of one module that tells its version, and gives the digest of the file.
func wheel(t testing.TB, dir, version string) (digest string) {
	t.Helper()
	const name = "lib"
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	info := fmt.Sprintf("%s-%s.dist-info/", name, version)
	files := map[string]string{
		name + ".py":      fmt.Sprintf("version = %q\n", version),
		info + "METADATA": fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version),
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	record := info + "RECORD,,\n"
	for _, name := range []string{name + ".py", info + "METADATA", info + "WHEEL"} {
		sum := sha256.Sum256([]byte(files[name]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[name]))
	}
	files[info+"RECORD"] = record
	for _, name := range []string{name + ".py", info + "METADATA", info + "WHEEL", info + "RECORD"} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fmt.Sprintf("%s-%s-py3-none-any.whl", name, version)), out.String())
	sum := sha256.Sum256(out.Bytes())
	return hex.EncodeToString(sum[:])
}

// pythonPack is a pack with one Python action and requirements.
func pythonPack(t testing.TB, versions, requirements string) environment.Request {
	t.Helper()
	files := map[string]string{
		"pack.yaml":      "name: p\nversion: 1.0.0\nruntime: {python: \"" + versions + "\"}\n",
		"actions/a.yaml": "runtime: python\nentry_point: a.py\n", "actions/a.py": "# " + t.Name(),
		"pip.py": "raise SystemExit('a file of the pack was taken for pip')\n", "venv.py": "raise SystemExit('likewise')\n",
	}
	if requirements != "" {
		files["requirements.txt"] = requirements
	}
	return archive(t, files)
}

// says runs a line of Python as an action of the environment would.
func says(t *testing.T, e *environment.Environment, code string) string {
	t.Helper()
	file := filepath.Join(e.Env("python"), "bin", "python")
	if e.Env("python") == "" {
		f, _, _ := e.Interpreter("python")
		file = f.Path
	}
	out, err := exec.Command(file, "-c", code).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", file, err, out)
	}
	return strings.TrimSpace(string(out))
}

const tell = "import sys, lib; print('%d.%d' % sys.version_info[:2], lib.version)"

func TestPacksOfFourPythonsHaveTheirOwnVersionsOfALibrary(t *testing.T) {
	t.Parallel()
	have := need(t, 4)
	j := pythonJob(t, have...)
	one, two := wheel(t, j.Options["pip_find_links"], "1.0"), wheel(t, j.Options["pip_find_links"], "2.0")
	s := newSite(t, j)
	var all sync.WaitGroup
	for n, minor := range have[:4] {
		requirements, want := "lib<2\n", minor+" 1.0"
		switch n {
		case 1:
			requirements, want = "lib>=2\n", minor+" 2.0"
		case 2:
			requirements = "lib==1.0 --hash=sha256:" + one + "\n"
		case 3:
			requirements, want = "lib==2.0 \\\n    --hash=sha256:"+two+"\n", minor+" 2.0"
		}
		q := pythonPack(t, "~"+minor, requirements)
		all.Go(func() {
			if got := says(t, s.build(q), tell); got != want {
				t.Errorf("python %s: %q is not %q", minor, got, want)
			}
		})
	}
	all.Wait()
}

func TestAnotherFileThanTheHashSaysIsRefused(t *testing.T) {
	t.Parallel()
	j := pythonJob(t, need(t, 1)[0])
	wheel(t, j.Options["pip_find_links"], "1.0")
	f := newSite(t, j).fails(pythonPack(t, "", "lib==1.0 --hash=sha256:"+strings.Repeat("0", 64)+"\n"))
	if f.Class != environment.BuildFailed || !strings.Contains(strings.Join(f.Tail, "\n"), "THESE PACKAGES DO NOT MATCH THE HASHES") {
		t.Errorf("failure: %v\n%s", f, strings.Join(f.Tail, "\n"))
	}
}

func TestPackagesComeFromTheOperatorsIndexAndTheirFaultsAreShown(t *testing.T) {
	t.Parallel()
	j := pythonJob(t, need(t, 1)[0])
	dir := t.TempDir()
	wheel(t, dir, "1.5")
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "hidden" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/simple/lib/":
			fmt.Fprint(w, `<!DOCTYPE html><a href="/f/lib-1.5-py3-none-any.whl">lib-1.5-py3-none-any.whl</a>`)
		case "/f/lib-1.5-py3-none-any.whl":
			http.ServeFile(w, r, filepath.Join(dir, path.Base(r.URL.Path)))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(index.Close)
	j.Options = map[string]string{"pip_index_url": strings.Replace(index.URL, "://", "://me:hidden@", 1) + "/simple"}
	s := newSite(t, j)
	q := pythonPack(t, "", "lib\n")
	var log bytes.Buffer
	q.Log = &log
	if got := says(t, s.build(q), tell); !strings.HasSuffix(got, " 1.5") {
		t.Error(got)
	}
	if strings.Contains(log.String(), "hidden") || !strings.Contains(log.String(), "Successfully installed lib-1.5") {
		t.Errorf("log: %s", log.String())
	}
	f := s.fails(pythonPack(t, "", "absent==7\n"))
	if f.Class != environment.BuildFailed || !strings.Contains(f.Line(), "No matching distribution found for absent==7") || !strings.HasSuffix(f.Step, ": install the requirements") {
		t.Errorf("failure: %v", f)
	}
}

func TestAPackWithoutRequirementsRunsWithTheInterpreterItself(t *testing.T) {
	t.Parallel()
	have := need(t, 2)
	s := newSite(t, pythonJob(t, have...))
	e := s.build(pythonPack(t, "<="+have[1], ""))
	if got := says(t, e, "import sys; print('%d.%d' % sys.version_info[:2])"); got != have[1] || e.Env("python") != "" {
		t.Errorf("runs with %s in %q", got, e.Env("python"))
	}
}

func TestTheSystemsPythonMayChange(t *testing.T) {
	t.Parallel()
	have := need(t, 2)
	j := pythonJob(t)
	wheel(t, j.Options["pip_find_links"], "1.0")
	bin, _, _ := strings.Cut(j.Path, ":")
	system := func(minor string) {
		link := filepath.Join(bin, "python3")
		if err := os.Symlink(pythons()[minor].Path, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	system(have[1])
	s := newSite(t, j)
	before, plain := pythonPack(t, "", "lib\n"), pythonPack(t, "", "")
	first := s.build(before)
	s.build(plain)
	system(have[0])
	if e := s.build(before); e.Pack != first.Pack || says(t, e, tell) != have[1]+" 1.0" {
		t.Errorf("the pack was built again, or runs with another Python: %s", says(t, e, tell))
	}
	if got := says(t, s.build(plain), "import sys; print('%d.%d' % sys.version_info[:2])"); got != have[0] {
		t.Errorf("a pack without an environment runs with %s", got)
	}
	if got := says(t, s.build(pythonPack(t, "", "lib==1.0\n")), tell); got != have[0]+" 1.0" {
		t.Errorf("a new pack runs with %s", got)
	}
}
