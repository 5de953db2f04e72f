package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// needContainers skips a test where no container can be run, and gives a root file system.
func needContainers(t *testing.T) (root string) {
	t.Helper()
	defs, err := runtime.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	d, _ := runtime.Define(defs, runtime.Container)
	c := runtime.DetectConfig{
		Definitions: []runtime.Definition{d}, Path: os.Getenv("PATH"), Home: t.TempDir(),
		PassedOver: func(_ string, err error) { t.Log(err) },
	}
	if len(runtime.Detect(t.Context(), c)) == 0 {
		t.Skip("no podman here that can run a container; containers are not tested")
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("no busybox here to make a root file system of; containers are not tested: %v", err)
	}
	root = filepath.Join(t.TempDir(), "root")
	write(t, filepath.Join(root, "bin/busybox"), string(busybox), 0o700)
	for _, name := range []string{"sh", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// containersOf counts the containers of an execution, whatever their state.
func containersOf(t *testing.T, id string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "podman", "ps", "--all", "--quiet", "--filter=name=attune-"+id).Output()
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.Fields(string(out)))
}

func TestContainersEndWithTheirExecutions(t *testing.T) {
	t.Parallel()
	root := needContainers(t)
	files := map[string]string{}
	where := "runtime: container\ncontainer: {rootfs: " + root + "}\n"
	long := token()
	action(files, "quick", where, "quick.sh", "#!/bin/sh\necho '{\"n\": 1}' > $ATTUNE_RESULT_FILE\n")
	action(files, "late", where+"timeout: 3s\n", "late.sh", "#!/bin/sh\nsleep "+long+"\n")
	action(files, "long", where, "long.sh", "#!/bin/sh\nsleep "+long+"\n")
	d := newDesk(t, files)
	allow := func(c *runner.Config) {
		c.Containers = runtime.ContainerConfig{Rootfs: []string{filepath.Dir(root)}}
		c.Grace = 100 * time.Millisecond // a shell that is a container's first process does not heed TERM
	}
	d.start(allow)
	quick, late, gone := d.request("quick", `{}`), d.request("late", `{}`), d.request("long", `{}`)
	if f := d.ended(quick); f.Status != streams.Succeeded || string(f.Result) != `{"n":1}` {
		t.Errorf("%+v %+v", f, f.Error)
	}
	d.running(gone)
	eventually(t, patience, "it sleeps", func() bool { return containersOf(t, gone) > 0 })
	d.cancel(gone)
	for id, want := range map[string]streams.Status{late: streams.TimedOut, gone: streams.Canceled} {
		if f := d.ended(id); f.Status != want {
			t.Errorf("want %s: %+v %+v", want, f, f.Error)
		}
	}
	for _, id := range []string{quick, late, gone} {
		if n := containersOf(t, id); n > 0 {
			t.Errorf("%d containers of %s are left", n, id)
		}
	}
	if n := alive(long); n > 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestAKilledRunnersContainersAreRemovedAtItsNextStart(t *testing.T) {
	t.Parallel()
	root, dir, long := needContainers(t), t.TempDir(), token()
	files := map[string]string{}
	action(files, "long", "runtime: container\ncontainer: {rootfs: "+root+"}\n", "long.sh", "#!/bin/sh\nsleep "+long+"\n")
	d := newDesk(t, files)
	_, kill := d.startProcess(dir)
	id := d.request("long", `{}`)
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+long) == 1 })
	kill()
	eventually(t, patience, "its processes are gone", func() bool { return alive(long) == 0 && alive("attune-"+id) == 0 })
	d.start(func(c *runner.Config) { c.DataDir = dir })
	eventually(t, patience, "its container is gone", func() bool { return containersOf(t, id) == 0 })
}
