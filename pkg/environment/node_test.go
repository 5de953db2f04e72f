package environment_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/runtime"
)

// nodePath is where versions of Node.js are that a test may use: the folders of this variable, and the usual ones.
func nodePath() string { return os.Getenv("ATTUNE_TEST_NODES") + ":/usr/local/bin:/usr/bin:/bin" }

// nodes lists the versions of Node.js of this machine, the newest first. Without npm there are none.
func nodes(t *testing.T) (all []string) {
	t.Helper()
	defs, err := runtime.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("there is no npm")
	}
	for _, f := range runtime.Detect(context.Background(), runtime.DetectConfig{Definitions: defs, Path: nodePath()}) {
		if f.Name == runtime.Node {
			all = append(all, f.Version)
		}
	}
	if len(all) == 0 {
		t.Skip("there is no Node.js")
	}
	return all
}

// tarball makes a package that tells its version, and would leave a mark if its scripts were run.
func tarball(t *testing.T, version, mark string) (data, integrity string) {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{
		"package/package.json": fmt.Sprintf(`{"name": "lib", "version": %q, "main": "index.js", "scripts": {"install": "touch %s"}}`, version, mark),
		"package/index.js":     fmt.Sprintf("module.exports = { version: %q };\n", version),
	} {
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(out.Bytes())
	return out.String(), "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// nodePack is a pack that needs a version of lib, which it brings with it.
func nodePack(t *testing.T, node, version, mark, integrity string) environment.Request {
	t.Helper()
	data, own := tarball(t, version, mark)
	if integrity == "" {
		integrity = own
	}
	from := "file:deps/lib-" + version + ".tgz"
	return archive(t, map[string]string{
		"pack.yaml":    "name: p\nversion: 1.0.0\nruntime: {node: \"" + node + "\"}\n",
		"package.json": fmt.Sprintf(`{"name": "p", "version": "1.0.0", "dependencies": {"lib": %q}}`, from),
		"package-lock.json": fmt.Sprintf(`{"name": "p", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
			"": {"name": "p", "version": "1.0.0", "dependencies": {"lib": %q}},
			"node_modules/lib": {"version": %q, "resolved": %q, "integrity": %q, "hasInstallScript": true}}}`, from, version, from, integrity),
		"deps/lib-" + version + ".tgz": data,
		"actions/a.yaml":               "runtime: node\nentry_point: a.mjs\n",
		"actions/a.mjs":                "import lib from 'lib';\nconsole.log(process.versions.node, lib.version);\n",
	})
}

// runNode runs the pack's action as a runner would.
func runNode(t *testing.T, e *environment.Environment) string {
	t.Helper()
	f, missing, ok := e.Interpreter("node")
	if !ok {
		t.Fatalf("missing: %+v", missing)
	}
	out, err := exec.Command(f.Path, filepath.Join(e.Pack, "actions", "a.mjs")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestPacksOfTwoNodesHaveTheirOwnVersionsOfALibrary(t *testing.T) {
	t.Parallel()
	have := nodes(t)
	mark := filepath.Join(t.TempDir(), "mark")
	s := newSite(t, job{Path: nodePath(), PathOnly: true})
	if got, want := runNode(t, s.build(nodePack(t, have[0], "1.0.0", mark, ""))), have[0]+" 1.0.0"; got != want {
		t.Errorf("%q is not %q", got, want)
	}
	if len(have) < 2 {
		t.Logf("SKIPPED in part: one version of Node.js is here, %s; name folders with others in ATTUNE_TEST_NODES", have[0])
	}
	last := have[len(have)-1]
	if got, want := runNode(t, s.build(nodePack(t, last, "2.0.0", mark, ""))), last+" 2.0.0"; got != want {
		t.Errorf("%q is not %q", got, want)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("scripts of a package were run")
	}
}

func TestNodePackagesThatAreNotWhatTheLockSaysAreRefused(t *testing.T) {
	t.Parallel()
	have := nodes(t)
	s := newSite(t, job{Path: nodePath(), PathOnly: true})
	wrong := sha512.Sum512([]byte("another"))
	f := s.fails(nodePack(t, have[0], "1.0.0", "/nowhere", "sha512-"+base64.StdEncoding.EncodeToString(wrong[:])))
	if f.Class != environment.BuildFailed || !strings.Contains(strings.Join(f.Tail, "\n"), "EINTEGRITY") {
		t.Errorf("failure: %v\n%s", f, strings.Join(f.Tail, "\n"))
	}
}
