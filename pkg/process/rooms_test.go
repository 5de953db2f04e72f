package process_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/sandbox"
)

// lodging starts programs one after the other in rooms, and gives what each wrote.
func lodging(t *testing.T) func(script string) string {
	t.Helper()
	if os.Geteuid() != 0 || mode() != "" {
		t.Skip("only root outside of a sandbox may make rooms")
	}
	l, policy := boxed(t, sandbox.DefaultUsers)
	return func(script string) string {
		t.Helper()
		var out bytes.Buffer
		s := process.Spec{Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Stdout: &out, Together: true, Sandbox: policy()}
		res, err := l.Run(t.Context(), s)
		if err != nil || res.ExitCode != 0 {
			t.Fatalf("%s: %+v, %v, %s", script, res, err, out.String())
		}
		return strings.TrimSpace(out.String())
	}
}

const whichRoom = `readlink /proc/self/ns/pid`

func TestARoomThatWasLeftAsItWasServesAnother(t *testing.T) {
	t.Parallel()
	run := lodging(t)
	first := run(whichRoom)
	if second := run(whichRoom); second != first {
		t.Errorf("%s, then %s", first, second)
	}
}

// The number of a namespace may be given to the next one, so that only an object tells.
func TestNobodyFindsTheSystemVObjectsOfAnother(t *testing.T) {
	t.Parallel()
	run := lodging(t)
	const count = `tail -n +2 /proc/sysvipc/shm | wc -l`
	if made := run("ipcmk -M 4096 >/dev/null && " + count); made != "1" {
		t.Fatalf("a program sees %s objects after it has made one", made)
	}
	if found := run(count); found != "0" {
		t.Errorf("the next one finds %s", found)
	}
}

func TestNobodyFindsWhatAProgramLeft(t *testing.T) {
	t.Parallel()
	run := lodging(t)
	for _, traces := range []struct{ leave, look string }{
		{`echo x >/tmp/trace`, `ls -A /tmp`},
		{`mkdir /var/tmp/.trace`, `ls -A /var/tmp`},
		{`ln -s / /dev/shm/trace`, `ls -A /dev/shm`},
		{`setsid sleep 1000 >/dev/null 2>&1 &`, `cat /proc/[0-9]*/comm | grep -c sleep || true`},
		{`(setsid sh -c 'sleep 0.01; echo x >/tmp/late' >/dev/null 2>&1 &)`, `ls -A /tmp`},
	} {
		clean := run(traces.look)
		in := run(traces.leave + "\n" + whichRoom)
		if after := run(traces.look); after != clean {
			t.Errorf("after %s: %q", traces.leave, after)
		}
		if next := run(whichRoom); next == in {
			t.Errorf("after %s the room serves others", traces.leave)
		}
	}
}

func TestARoomWhoseFirstProcessWasKilledServesNobody(t *testing.T) {
	t.Parallel()
	run := lodging(t)
	for range 5 {
		first := run(whichRoom)
		for _, pid := range roomsOf(t, first) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for tick := time.NewTicker(time.Millisecond); len(roomsOf(t, first)) > 0; <-tick.C { // the kernel takes a moment
		}
		run("true")
	}
}

// roomsOf lists the first processes of a room, as they are numbered here.
func roomsOf(t *testing.T, room string) (pids []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && target == room {
			pid, err := strconv.Atoi(strings.Split(l, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestARoomServesBoundedlyMany(t *testing.T) {
	t.Parallel()
	run := lodging(t)
	seen := map[string]int{}
	for range process.RoomUses + 5 {
		seen[run(whichRoom)]++
	}
	for room, programs := range seen {
		if programs > process.RoomUses {
			t.Errorf("%s served %d programs", room, programs)
		}
	}
	if len(seen) < 2 {
		t.Errorf("%v", seen)
	}
}
