package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/postgres"
)

// parentOf, when set, makes this binary the parent of a server instead of a test.
const parentOf = "ATTUNE_TEST_POSTGRES_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentOf); dir != "" {
		beParent(dir)
	}
	goleak.VerifyTestMain(m)
}

func beParent(dir string) {
	s, err := postgres.New(context.Background(), config(dir))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() { <-s.Ready(); fmt.Println("ready") }()
	fmt.Println(s.Run(context.Background()))
	os.Exit(1)
}

// folder is like t.TempDir, in a place that an unprivileged user can reach.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-postgres-") //nolint:usetesting // t.TempDir lies in a folder closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "postgres")
}

func config(dir string) postgres.Config {
	return postgres.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), Repository: "http://127.0.0.1:1"}
}

// start runs a server until the returned function, or the test's end, stops it.
func start(t *testing.T, dir string) (*postgres.Server, func()) {
	t.Helper()
	s, err := postgres.New(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("run: %v", err)
	}
	return s, stop
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	var v T
	if err := conn.QueryRow(context.Background(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func pidOf(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitGone polls: a process that is not our child cannot be waited for.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		case <-tick.C:
		}
	}
}

func TestDataOutlivesAStopAndNoProcessDoes(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s, stop := start(t, dir)
	if got := query[string](t, s.URL(), "SHOW synchronous_commit"); got != "on" {
		t.Errorf("synchronous_commit is %s", got)
	}
	query[int](t, s.URL(), "WITH made AS (SELECT lo_from_bytea(4711, 'kept')) SELECT count(*) FROM made")
	pid := pidOf(t, dir)
	stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("server %d after the stop: %v", pid, err)
	}
	again, _ := start(t, dir)
	if got := query[string](t, again.URL(), "SELECT convert_from(lo_get(4711), 'UTF8')"); got != "kept" {
		t.Errorf("after a restart the data is %q", got)
	}
}

func TestAServerNeverRunsAsRootNorListensOnTheNetwork(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s, _ := start(t, dir)
	info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pidOf(t, dir))))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("the server runs as root")
	}
	if got := query[string](t, s.URL(), "SHOW listen_addresses"); got != "" {
		t.Errorf("the server listens on %q", got)
	}
}

func TestAServerThatDiesIsStartedAgainAtTheSameAddress(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s, _ := start(t, dir)
	pid := pidOf(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline, tick := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(t.Context(), s.URL())
		if err == nil {
			_ = conn.Close(t.Context())
			break
		}
		select {
		case <-deadline:
			t.Fatalf("still away: %v", err)
		case <-tick.C:
		}
	}
	if now := pidOf(t, dir); now == pid {
		t.Errorf("the killed server %d is said to run", pid)
	}
}

func TestAServerDiesWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentOf+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("parent says %q", line)
	}
	pid := pidOf(t, dir)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	awaitGone(t, pid)
}

func TestAServerLeftBehindIsStoppedBeforeTheNextStarts(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c, err := postgres.Prepare(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	argv, as := c.Command()
	left := exec.Command(argv[0], argv[1:]...)
	left.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	left.Dir, left.Env = c.Dir(), []string{"LC_ALL=C"}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = left.Wait(); close(ended) }()
	if err := c.Await(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, dir)
	<-ended
	if got := query[int](t, s.URL(), "SELECT 1"); got != 1 {
		t.Error(got)
	}
}

func TestALockThatNamesAnotherProcessIsNotBelieved(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c, err := postgres.Prepare(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(c.Dir(), "data", "postmaster.pid")
	if err := os.WriteFile(lock, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

func TestDataOfAnotherMajorVersionIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c, err := postgres.Prepare(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(), "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = postgres.New(t.Context(), config(dir))
	if !errors.Is(err, postgres.ErrVersion) || !strings.Contains(err.Error(), "install postgresql-9") {
		t.Fatalf("got %v", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c, err := postgres.Prepare(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(), "data", "postgresql.auto.conf"), []byte("no_such_setting = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.New(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if !errors.Is(err, postgres.ErrStart) || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("got %v", err)
	}
}
