package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

// busybox is a program without libraries that is a whole system.
const busybox = "/bin/busybox"

// needContainers skips a test where no container can be run.
func needContainers(t *testing.T) {
	t.Helper()
	if len(of(runtime.Container, detected())) == 0 {
		t.Skipf("no podman here that can run a container; containers are not tested: %v", errors.Join(passedOver[runtime.Container]...))
	}
	if out, err := exec.CommandContext(t.Context(), "file", "-b", busybox).Output(); err == nil && !bytes.Contains(out, []byte("static")) {
		t.Skip("no static busybox here to make a root file system of: containers are not tested")
	}
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("no busybox here to make a root file system of: containers are not tested")
	}
}

// home is where podman keeps an ordinary user's containers.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// limited tells whether podman can limit what containers use here: an ordinary user's it cannot with cgroups v1.
func limited() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil || os.Getuid() == 0
}

// rootfs makes a root file system below dir.
func rootfs(t *testing.T, dir string) string {
	t.Helper()
	root := filepath.Join(dir, "root")
	for _, sub := range []string{"bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil { //nolint:gosec // as in any system
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "ls", "env", "touch", "sleep", "grep", "cut", "sort", "echo"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// containerPack makes a pack whose file run is a script, and a root file system in it.
func containerPack(t *testing.T, script string) string {
	t.Helper()
	dir := packOf(t, map[string]string{"run": "#!/bin/sh\n" + script})
	if err := os.Chmod(filepath.Join(dir, "run"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	rootfs(t, dir)
	return dir
}

func inRootfs(network pack.Network) pack.Action {
	return pack.Action{Name: "c", Runtime: runtime.Container, EntryPoint: "run", Container: &pack.Container{Rootfs: "root", Network: network}}
}

func TestContainersHaveWhatTheyAreGivenAndNothingElse(t *testing.T) {
	t.Parallel()
	needContainers(t)
	dir := containerPack(t, `
cat; echo
env | grep -v -e ^HOSTNAME= -e ^SHLVL= -e ^TERM= -e ^PATH= -e ^PWD= -e ^container= | cut -d= -f1 | sort
for at in /attune/pack/new /etc/new /new; do touch $at 2>/dev/null && echo wrote $at; done
touch /tmp/new "$TMPDIR/new" && echo temporary
grep -e ^CapEff -e ^NoNewPrivs /proc/self/status
ls /sys/class/net
cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max 2>/dev/null
echo '{"n": 1}' > "$ATTUNE_RESULT_FILE"
exit 7
`)
	out := call(t, set(t, detected()), dir, inRootfs(""), given(`{"x": 1}`))
	want := given(`{"x": 1}`) + "\nATTUNE_ACTION\nATTUNE_ATTEMPT\nATTUNE_EXECUTION_ID\nATTUNE_RESULT_FILE\nHOME\nLANG\nTMPDIR\ntemporary\n" +
		"NoNewPrivs:\t1\n"
	got := strings.ReplaceAll(out.stdout, "CapEff:\t0000000000000000\n", "")
	if want += "lo\n"; limited() {
		want += "256\n"
	}
	if got != want || out.ExitCode != 7 || out.result != "{\"n\": 1}\n" || got == out.stdout {
		t.Errorf("exit %d, result %q, stdout:\n%s\nstderr: %s", out.ExitCode, out.result, out.stdout, out.stderr)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "root")); err != nil || len(left) != 2 {
		t.Errorf("the root file system was changed: %v %v", left, err)
	}
}

func TestAContainerHasTheHostsNetworkWhenItsActionSaysSo(t *testing.T) {
	t.Parallel()
	needContainers(t)
	out := call(t, set(t, detected()), containerPack(t, "ls /sys/class/net"), inRootfs(pack.NetworkHost), "{}")
	links, err := filepath.Glob("/sys/class/net/*")
	if err != nil || len(strings.Fields(out.stdout)) != len(links) {
		t.Errorf("%q, and the host has %v %s", out.stdout, links, out.stderr)
	}
}

func TestAnEntryPointMayBeAProgramOfTheContainer(t *testing.T) {
	t.Parallel()
	needContainers(t)
	a := inRootfs("")
	a.EntryPoint = "/bin/cat"
	if out := call(t, set(t, detected()), containerPack(t, ""), a, "over"); out.stdout != "over" || out.ExitCode != 0 {
		t.Errorf("%+v", out)
	}
}

func TestAContainerMayBeOfAnImage(t *testing.T) {
	t.Parallel()
	needContainers(t)
	dir := containerPack(t, "cat; echo \"$0 $HOME\"")
	image := fmt.Sprintf("localhost/attune-test-%d:%s", os.Getpid(), "1.0")
	layer := filepath.Join(t.TempDir(), "layer.tar")
	for _, args := range [][]string{{"tar", "-cf", layer, "-C", filepath.Join(dir, "root"), "."}, {"podman", "import", "--quiet", layer, image}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // fixed words
			t.Fatalf("%q: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "podman", "rmi", image).CombinedOutput(); err != nil {
			t.Errorf("remove image: %v %s", err, out)
		}
	})
	a := inRootfs("")
	a.Container = &pack.Container{Image: image}
	if out := call(t, set(t, detected()), dir, a, "in "); out.ExitCode != 0 || out.stdout != "in /attune/pack/run /attune/work\n" {
		t.Errorf("%+v", out)
	}
}

func TestARootFileSystemOutsideThePackIsTheOperatorsToAllow(t *testing.T) {
	t.Parallel()
	needContainers(t)
	a := inRootfs("")
	a.Container.Rootfs = rootfs(t, t.TempDir())
	dir := containerPack(t, "echo here")
	if _, err := set(t, detected()).Command(runtime.Location{Pack: dir}, a); !errors.Is(err, runtime.ErrRootfs) {
		t.Errorf("nobody allowed it: %v", err)
	}
	allowing, err := runtime.NewSet(runtime.SetConfig{
		Definitions: definitions(), Found: detected(), Dir: t.TempDir(), Path: runtime.DefaultPath,
		Container: runtime.ContainerConfig{Rootfs: []string{filepath.Dir(a.Container.Rootfs)}, Home: home(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out := call(t, allowing, dir, a, "{}"); out.stdout != "here\n" {
		t.Errorf("%+v", out)
	}
}

func TestWhatCannotBeStartedInAContainer(t *testing.T) {
	t.Parallel()
	dir := containerPack(t, "")
	if err := os.Symlink("/", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	s := set(t, []runtime.Found{{Name: runtime.Container, Version: "1", Path: "/bin/false"}})
	for name, a := range map[string]pack.Action{
		"no container":      {EntryPoint: "run"},
		"an option":         {EntryPoint: "run", Container: &pack.Container{Image: "--privileged"}},
		"function":          {EntryPoint: "run:f", Container: &pack.Container{Image: "alpine"}},
		"no file":           {EntryPoint: "gone", Container: &pack.Container{Image: "alpine"}},
		"outside":           {EntryPoint: "../run", Container: &pack.Container{Image: "alpine"}},
		"folder outside":    {EntryPoint: "run", Container: &pack.Container{Rootfs: "../root"}},
		"link to outside":   {EntryPoint: "run", Container: &pack.Container{Rootfs: "out"}},
		"absolute, unasked": {EntryPoint: "run", Container: &pack.Container{Rootfs: "/"}},
		"file":              {EntryPoint: "run", Container: &pack.Container{Rootfs: "run"}},
	} {
		a.Runtime = runtime.Container
		if c, err := s.Command(runtime.Location{Pack: dir}, a); !errors.Is(err, runtime.ErrEntryPoint) && !errors.Is(err, runtime.ErrRootfs) {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
}

// killed runs an action in a container and kills it with its engine.
func killed(t *testing.T, s *runtime.Set, id runtime.Identity) runtime.Command {
	t.Helper()
	c, err := s.Command(runtime.Location{Pack: containerPack(t, "echo up; sleep 1000")}, inRootfs(""))
	if err != nil {
		t.Fatal(err)
	}
	p := s.Program(c, id)
	kill, up := make(chan struct{}), make(chan struct{})
	spec := process.Spec{Path: p.Path, Args: p.Args, Env: p.Env, Dir: id.WorkDir, Stdout: notice{up}, Kill: kill, Timeout: time.Minute}
	go func() {
		<-up
		close(kill)
	}()
	res, err := launcher().Run(t.Context(), spec)
	if err != nil || !res.Canceled || res.LeftBehind != 0 {
		t.Fatalf("%+v %v", res, err)
	}
	return c
}

// notice closes a channel when something is written.
type notice struct{ up chan struct{} }

func (n notice) Write(p []byte) (int, error) {
	close(n.up)
	return len(p), nil
}

// traces lists what there is of a container: the engine's knowledge and processes.
func traces(t *testing.T, name string) (found []string) {
	t.Helper()
	if id := containerID(t, name); id != "" {
		found = append(found, "container "+id)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range lines {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(name)) {
			found = append(found, string(text))
		}
	}
	return found
}

func containerID(t *testing.T, name string) string {
	t.Helper()
	id, err := exec.CommandContext(t.Context(), "podman", "ps", "--all", "--no-trunc", "--quiet", "--filter=name="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(id))
}

func mounts(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNothingStaysOfAContainerThatWasKilled(t *testing.T) {
	t.Parallel()
	needContainers(t)
	dir := t.TempDir()
	fresh := func() *runtime.Set {
		s, err := runtime.NewSet(runtime.SetConfig{
			Definitions: definitions(), Found: detected(), Dir: dir, Path: runtime.DefaultPath, Container: runtime.ContainerConfig{Home: home(t)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, clear := range map[string]func(*runtime.Set, runtime.Command, runtime.Identity) error{
		"by itself":   func(s *runtime.Set, c runtime.Command, id runtime.Identity) error { return s.Clear(t.Context(), c, id) },
		"by the next": func(*runtime.Set, runtime.Command, runtime.Identity) error { return fresh().ClearAll(t.Context()) },
	} {
		work := t.TempDir()
		id := runtime.Identity{Execution: filepath.Base(dir) + strings.ReplaceAll(name, " ", ""), Attempt: 1, ResultFile: filepath.Join(work, "r"), WorkDir: work}
		s := fresh()
		c := killed(t, s, id)
		container := containerID(t, "attune-"+id.Execution)
		if container == "" {
			t.Errorf("%s: its engine forgot it by itself: this test tests nothing", name)
		}
		if err := clear(s, c, id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left := traces(t, "attune-"+id.Execution); len(left) > 0 {
			t.Errorf("%s: left: %q", name, left)
		}
		if groups, err := filepath.Glob("/sys/fs/cgroup/*/*/libpod-" + container + "*"); err != nil || len(groups) > 0 {
			t.Errorf("%s: left: %q %v", name, groups, err)
		}
		if strings.Contains(mounts(t), "lowerdir="+filepath.Dir(dir)) {
			t.Errorf("%s: a mount is left:\n%s", name, mounts(t))
		}
		if err := s.Clear(t.Context(), c, id); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
	}
}

func TestTheOperatorsArgumentsOfContainersWin(t *testing.T) {
	t.Parallel()
	needContainers(t)
	if !limited() {
		t.Skip("podman cannot limit containers of an ordinary user here")
	}
	s, err := runtime.NewSet(runtime.SetConfig{
		Definitions: definitions(), Found: detected(), Dir: t.TempDir(), Path: runtime.DefaultPath,
		Container: runtime.ContainerConfig{Args: []string{"--pids-limit=77"}, Home: home(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	out := call(t, s, containerPack(t, "cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max"), inRootfs(""), "{}")
	if !slices.Contains(strings.Fields(out.stdout), "77") {
		t.Errorf("%+v", out)
	}
}
