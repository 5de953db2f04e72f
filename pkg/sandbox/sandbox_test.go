package sandbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if err := Protect(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// site is a sandbox with a data folder in which there are a secret and a work folder.
type site struct {
	*Sandbox
	data, work string
	policy     Policy
	room       *Room
}

// open makes a site; with users, where the test may give them.
func open(t testing.TB, users Range) *site {
	t.Helper()
	if users != (Range{}) && os.Geteuid() != 0 {
		t.Skip("only root may give programs users and rooms of their own")
	}
	p := &site{data: filepath.Join(t.TempDir(), "data")}
	p.work = filepath.Join(p.data, "work")
	if err := os.MkdirAll(p.work, 0o755); err != nil { //nolint:gosec // programs are other users
		t.Fatal(err)
	}
	write(t, filepath.Join(p.data, "secret"), "hidden")
	var err error
	if p.Sandbox, err = Open(Config{Dir: filepath.Join(p.data, "sandbox"), Hidden: []string{p.data}, Users: users}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	p.policy = Policy{Write: []string{p.work}}
	if users != (Range{}) {
		p.settle(t)
	}
	return p
}

// settle gives the program of a site a user and a room.
func (p *site) settle(t testing.TB) {
	t.Helper()
	if !p.Rooms() {
		t.Skip("this machine forbids rooms: " + p.withoutRooms)
	}
	user, err := p.TakeUser()
	if err != nil {
		t.Fatal(err)
	}
	p.policy.User = user
	if err := os.Chown(p.work, int(user), int(user)); err != nil {
		t.Fatal(err)
	}
	if err := p.Show(true, p.work); err != nil {
		t.Fatal(err)
	}
	if p.room, err = p.NewRoom(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.room.Kill()
		if _, err := syscall.Wait4(p.room.PID, nil, 0, nil); err != nil {
			t.Error(err)
		}
		p.room.Close()
	})
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // permissions are not to be what keeps it from being read
		t.Fatal(err)
	}
}

// sh runs a script in the work folder and gives what it said.
func (p *site) sh(t testing.TB, script string) string {
	t.Helper()
	starter, err := p.NewStarter(&p.policy, p.room)
	defer starter.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return p.shBy(t, starter, &p.policy, script)
}

// shBy is sh by a starter, under a policy that fits it.
func (p *site) shBy(t testing.TB, starter *Starter, policy *Policy, script string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := startBy(starter, policy, &syscall.ProcAttr{
		Dir: p.work, Env: []string{"PATH=/usr/sbin:/usr/bin:/bin", "DATA=" + p.data},
		Files: []uintptr{w.Fd(), w.Fd(), w.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	}, script)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the program has its own
	var out bytes.Buffer
	_, _ = out.ReadFrom(r)
	_ = r.Close() // it was only read
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// startBy has a starter start a script.
func startBy(starter *Starter, p *Policy, attr *syscall.ProcAttr, script string) (pid int, err error) {
	done := make(chan struct{})
	starter.Go(p, attr, func() {
		defer close(done)
		pid, err = syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, attr)
	})
	<-done
	return pid, err
}

// both are the two kinds of sandbox.
var both = map[string]Range{"with the user of Attune": {}, "with a user of its own": DefaultUsers}

func TestWhatAProgramCanDo(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, script, want string }{
		{"works in its folder", `echo hi >x; mkdir d; mv x d/y; ln -s y d/z; cat d/z; rm -r d; ls -A`, "hi"},
		{"makes files for itself only", `echo >x; stat -c %a x`, "600"},
		{"reads what anybody may", `head -c 4 /etc/passwd`, "root"},
		{"uses the usual devices", `echo gone >/dev/null; head -c 1 /dev/zero | wc -c`, "1"},
		{"sees itself in /proc", `read -r name </proc/self/comm; echo $name`, "sh"},
		{"has a session of its own", `read -r pid comm state ppid pgrp session rest </proc/$$/stat; echo $((pid == session))`, "1"},
		{"has its descriptors and no others", `ls /proc/self/fd | wc -l`, "4"},
	}
	for kind, users := range both {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := open(t, users)
			for _, tt := range tests {
				if got := p.sh(t, tt.script); got != tt.want {
					t.Errorf("%s: %s: got %q, want %q", tt.name, tt.script, got, tt.want)
				}
			}
		})
	}
}

func TestWhatAProgramCannotDo(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, script string }{
		{"read what is hidden", `cat $DATA/secret`},
		{"list what is hidden", `ls $DATA/sandbox`},
		{"write beside its folder", `echo >$DATA/x`},
		{"write anywhere else", `echo >/var/x || echo >/etc/x || echo >/usr/x`},
		{"link a hidden file to where it may read", `ln $DATA/secret x && cat x`},
		{"make a device", `mknod m c 1 3`},
		{"mount", `mount -t tmpfs none .`},
		{"make namespaces", `unshare -r true || unshare -m true`},
		{"change its root", `chroot / true`},
		{"gain rights by a file", `grep -q 'NoNewPrivs:.0' /proc/self/status`},
		{"have capabilities", `grep -v 'Cap[BI]' /proc/self/status | grep -q 'Cap.*[1-9a-f]$'`},
		{"kill others", `kill -0 ` + "1"},
	}
	for kind, users := range both {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := open(t, users)
			for _, tt := range tests {
				if got := p.sh(t, "if { "+tt.script+"; } >out 2>&1; then echo done; cat out; else echo refused; fi"); got != "refused" {
					t.Errorf("%s: %s: %s", tt.name, tt.script, got)
				}
			}
		})
	}
}

// In a room it dies by another signal, which it cannot send itself.
func TestAProgramDiesWithItsThread(t *testing.T) {
	t.Parallel()
	for kind, users := range both {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := open(t, users)
			starter, err := p.NewStarter(&p.policy, p.room)
			if err != nil {
				t.Fatal(err)
			}
			attr := &syscall.ProcAttr{Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}}
			pid, err := startBy(starter, &p.policy, attr, "sleep 1000")
			starter.Stop()
			if err != nil {
				t.Fatal(err)
			}
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Signaled() {
				t.Errorf("%v, status %#x", err, status)
			}
			if got := p.sh(t, `kill -33 $$ && echo "still there"`); p.room != nil && got != "still there" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestARoomHasItsOwnOfWhatIsShared(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	stranger := filepath.Join(os.TempDir(), "attune-sandbox-stranger")
	write(t, stranger, "x")
	t.Cleanup(func() { _ = os.Remove(stranger) })
	tests := map[string]string{
		`ls /tmp | grep -c stranger`:                                "0",
		`echo a >/tmp/a; echo b >/dev/shm/b; cat /tmp/a /dev/shm/b`: "a\nb",
		`ps -e -o pid= | head -1`:                                   "1",
		`kill -9 1 2>/dev/null || echo no`:                          "no",
		`ls $DATA`:                                                  "work",
	}
	for script, want := range tests {
		if got := strings.TrimSpace(p.sh(t, script)); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestARoomIsBareWhenNothingWasLeftInIt(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	for _, test := range []struct {
		script string
		bare   bool
	}{
		{`true`, true},
		{`echo x >/tmp/a && rm /tmp/a`, true},
		{`mkdir /dev/shm/a && rmdir /dev/shm/a`, true},
		{`echo x >/var/tmp/a; touch -d @1 /var/tmp || true`, false},
		{`rm /var/tmp/a`, true},
	} {
		p.sh(t, test.script)
		if got := p.room.Bare(); got != test.bare {
			t.Errorf("after %s: bare %t", test.script, got)
		}
		if test.bare && !p.room.marked("/proc/"+strconv.Itoa(p.room.PID)+"/root") {
			t.Errorf("after %s the next look lists again", test.script)
		}
	}
}

func TestARoomKnowsItsOwn(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	other, err := p.NewRoom(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !p.room.Holds(p.room.PID) || p.room.Holds(os.Getpid()) || p.room.Holds(other.PID) || p.Stale(other) {
		t.Error("a room does not know its own")
	}
	if err := p.Show(false, t.TempDir()); err != nil || !p.Stale(other) {
		t.Errorf("a room that lacks what is shown by now is not stale: %v", err)
	}
	other.Kill()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(other.PID, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("%v, %v", status, err)
	}
	other.Close()
}

func TestAFirstProcessThatDoesNotBeginIsGivenUp(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	room, err := p.NewRoom(nil)
	if err != nil {
		t.Fatal(err)
	}
	silent, w, err := os.Pipe() // as long as a process that was stopped before its first instruction
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = silent.Close(), w.Close() }()
	if err := room.awaitReady(silent, time.Millisecond); err == nil || !strings.Contains(err.Error(), "not ready within 1ms") {
		t.Errorf("waited with %v", err)
	}
	if _, err := syscall.Wait4(room.PID, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("it was left: %v", err)
	}
}

func TestThisProcessStaysAsItWas(t *testing.T) {
	t.Parallel()
	for _, users := range both {
		if users != (Range{}) && os.Geteuid() != 0 {
			continue
		}
		p := open(t, users)
		for range 20 {
			p.sh(t, "true")
		}
	}
	// A thread that is being spent may still be there, but the first one never is one.
	text, err := os.ReadFile("/proc/self/status")
	if err != nil || !bytes.Contains(text, []byte("NoNewPrivs:\t0")) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestHiddenFoldersAreCutOut(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"a/b/c", "a/d", "e/f"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(root, n))
		}
		return paths
	}
	tests := []struct {
		name         string
		hidden, want []string
	}{
		{"nothing", nil, in("")},
		{"all of it", in(""), nil},
		{"a folder in the depth", in("a/b"), in("a/d", "e")},
		{"two folders", in("a/b/c", "e"), in("a/d")},
		{"what does not exist yet", in("a/b/none"), in("a/b/c", "a/d", "e")},
		{"something else", []string{"/nowhere"}, in("")},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, carve(root, tt.hidden)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	real, err := resolve(in("link/b", "link/none/x"))
	if diff := cmp.Diff(in("a/b", "a/none/x"), real); diff != "" || err != nil {
		t.Errorf("resolve: %v %s", err, diff)
	}
}

func TestRangesOfUsers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Range{"none": {}, "2000000-2065535": DefaultUsers, "65536-65536": {65536, 65536}} {
		got, err := ParseRange(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "5", "1-2", "0-70000", "70000-65536", "70000-4294967295", "70000-99999999999", "1 - 2"} {
		if r, err := ParseRange(text); err == nil {
			t.Errorf("%q: %v", text, r)
		}
	}
}

func TestAUserIsOfOneProgramAtATime(t *testing.T) {
	t.Parallel()
	u := newUsers(Range{70000, 70002})
	s := &Sandbox{users: u}
	seen := map[uint32]bool{}
	for range 3 {
		id, err := s.TakeUser()
		if err != nil || seen[id] || id < 70000 || id > 70002 {
			t.Errorf("%d, %v", id, err)
		}
		seen[id] = true
	}
	if _, err := s.TakeUser(); err == nil {
		t.Error("a user was given twice")
	}
	s.GiveUser(70001)
	if id, err := s.TakeUser(); id != 70001 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	var none *Sandbox
	if id, err := none.TakeUser(); id != 0 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	none.GiveUser(0)
}

func TestTheFilterFitsItsArchitecture(t *testing.T) {
	t.Parallel()
	f := filter()
	if len(f) > unix.BPF_MAXINSNS || f[0].K != dataArch || f[1].K != auditArch {
		t.Errorf("%d instructions: %v", len(f), f)
	}
	for i, in := range f {
		if next := i + 1 + int(max(in.Jt, in.Jf)); in.Code&7 == unix.BPF_JMP && next >= len(f) {
			t.Errorf("instruction %d leads out of it", i)
		}
	}
}

// verdict runs a filter as the kernel does, on a call with two arguments that are alike.
func verdict(t *testing.T, f []unix.SockFilter, arch, number, arg uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{dataNumber: number, dataArch: arch, dataArg0: arg, dataArg1: arg}
	var a uint32
	for pc := 0; pc < len(f); pc++ {
		in, yes := f[pc], false
		switch in.Code {
		case opLoad:
			a = data[in.K]
			continue
		case opReturn:
			return in.K
		case opEqual:
			yes = a == in.K
		case opFrom:
			yes = a >= in.K
		case opAtMost:
			yes = a > in.K
		case opAny:
			yes = a&in.K != 0
		default:
			t.Fatalf("instruction %d: %+v", pc, in)
		}
		pc += int(in.Jf)
		if yes {
			pc += int(in.Jt) - int(in.Jf)
		}
	}
	t.Fatal("it ends without a verdict")
	return 0
}

func TestTheFilterJudgesEveryCall(t *testing.T) {
	t.Parallel()
	f := filter()
	want := map[uint32]uint32{}
	for _, n := range denied {
		want[uint32(n)] = refuse
	}
	for _, n := range missing {
		want[uint32(n)] = unknow
	}
	for n := range uint32(2000) {
		expected, judged := want[n]
		switch {
		case n == unix.SYS_PTRACE:
			expected = refuse // PTRACE_PEEKDATA, by the argument below
		case !judged:
			expected = allow
		}
		if got := verdict(t, f, auditArch, n, unix.PTRACE_PEEKDATA); got != expected {
			t.Errorf("call %d: %#x, want %#x", n, got, expected)
		}
	}
	for _, c := range []struct{ arch, number, arg, want uint32 }{
		{auditArch ^ 1, unix.SYS_READ, 0, kill},
		{auditArch, lastNumber, 0, allow},
		{auditArch, unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_VFORK, allow},
		{auditArch, unix.SYS_CLONE, unix.CLONE_NEWUSER, refuse},
		{auditArch, unix.SYS_PTRACE, unix.PTRACE_TRACEME, allow},
		{auditArch, unix.SYS_PTRACE, unix.PTRACE_DETACH, allow},
		{auditArch, unix.SYS_PTRACE, unix.PTRACE_ATTACH, refuse},
		{auditArch, unix.SYS_PTRACE, unix.PTRACE_SETOPTIONS, refuse},
		{auditArch, unix.SYS_KILL, uint32(unix.SIGKILL), allow},
		{auditArch, unix.SYS_KILL, uint32(deathInRoom), skip},
	} {
		if got := verdict(t, f, c.arch, c.number, c.arg); got != c.want {
			t.Errorf("%+v: %#x", c, got)
		}
	}
}

func TestFeaturesSayWhatIsActive(t *testing.T) {
	t.Parallel()
	p := open(t, Range{})
	names := func(all []Feature) (yes []string) {
		for _, f := range all {
			if f.Active {
				yes = append(yes, f.Name)
			}
		}
		return yes
	}
	got := names(p.Features())
	if len(got) < 3 || got[0] != FeatureFiles || got[1] != FeatureCalls {
		t.Errorf("%v", got)
	}
	var none *Sandbox
	if got := names(none.Features()); len(got) != 1 {
		t.Errorf("without a sandbox: %v", got)
	}
	if text := Summary(p.Features()); !strings.Contains(text, "without users") {
		t.Error(text)
	}
}
