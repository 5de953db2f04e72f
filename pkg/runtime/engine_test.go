package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/runtime"
)

// fakePodman says its version, and makes containers only with an OCI runtime that is named and is there. It counts its
// trials in the file tries.
const fakePodman = `#!/bin/sh
here=${0%/*}
case "$*" in
version*) echo 9.9.9 ;;
*--runtime=*/runc*info*) echo "$here/runc" ;;
*--runtime=*/runc*run*--rootfs*) echo x >> "$here/tries"; echo "stat /attune-nothing: no such file or directory" >&2; exit 127 ;;
*run*) echo x >> "$here/tries"; echo "crun: operation not permitted" >&2; exit 126 ;;
esac
`

func TestAnEngineIsTriedWithTheOCIRuntimesThatAreThere(t *testing.T) {
	t.Parallel()
	dir := interpreters(t, map[string]string{"podman": fakePodman})
	d, _ := runtime.Define(definitions(), runtime.Container)
	look := func(args ...string) (found []runtime.Found, tries int, passedOver error) {
		t.Helper()
		m := runtime.OpenMemory(filepath.Join(dir, "memory"))
		found = runtime.Detect(t.Context(), runtime.DetectConfig{
			Definitions: []runtime.Definition{d}, Path: dir, Memory: m, Container: runtime.ContainerConfig{Args: args},
			PassedOver: func(_ string, err error) { passedOver = errors.Join(passedOver, err) },
		})
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "tries")) // no file: none
		return found, strings.Count(string(text), "x"), passedOver
	}
	runc := filepath.Join(dir, "runc")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(runc, []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	write("#!/bin/sh\n")
	want := []runtime.Found{{Name: runtime.Container, Version: "9.9.9", Path: filepath.Join(dir, "podman"), OCI: runc}}
	for _, step := range []struct {
		name  string
		args  []string
		tries int
	}{{"first", nil, 2}, {"remembered", nil, 2}, {"other arguments", []string{"--init"}, 4}, {"remembered", []string{"--init"}, 4}} {
		found, tries, passedOver := look(step.args...)
		if diff := cmp.Diff(want, found); diff != "" || tries != step.tries || passedOver != nil {
			t.Errorf("%s: %d tries, %v %s", step.name, tries, passedOver, diff)
		}
	}
	write("#!/bin/sh\n# another\n")
	if _, tries, err := look("--init"); tries != 6 || err != nil {
		t.Errorf("another OCI runtime: %d tries, %v", tries, err)
	}
}
