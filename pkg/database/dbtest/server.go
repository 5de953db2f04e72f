package dbtest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/postgres"
)

const (
	template = "attune_template"
	prefix   = "attune-dbtest-"
)

// shared starts the process's one server at the first call.
var shared = sync.OnceValues(start)

// lifeline is the writing end of the guard's standard input. The kernel closes it when this process ends;
// it is kept here so that the garbage collector does not.
var lifeline *os.File //nolint:unused // it is held, not read

// guard is a shell that runs the server until the lifeline is cut, then ends it and removes its files.
// A child that lives by a pipe needs no goroutine here, no code at exit, and survives no kind of death.
const guard = `dir=$1; shift
"$@" </dev/null & pid=$!
read -r _
kill -QUIT $pid; wait $pid
cd / && rm -rf "$dir"`

func start() (*postgres.Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	sweep()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-%x", prefix, os.Getpid(), rand.Uint32()))
	c, err := postgres.Prepare(ctx, postgres.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), Volatile: true})
	if err != nil {
		return nil, err
	}
	if err := launch(c); err != nil {
		return nil, err
	}
	if err := c.Await(ctx, nil); err != nil {
		return nil, err
	}
	return c, fillTemplate(ctx, c)
}

func launch(c *postgres.Cluster) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // the child has its own
	log, err := os.Create(filepath.Join(c.Dir(), "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	argv, as := c.Command()
	cmd := exec.Command("/bin/sh", append([]string{"-c", guard, "sh", c.Dir()}, argv...)...)
	cmd.Dir, cmd.Env = c.Dir(), []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setsid: true}
	lifeline = out
	return cmd.Start()
}

func fillTemplate(ctx context.Context, c *postgres.Cluster) error {
	if err := execute(c.URL("postgres"), "CREATE DATABASE "+template); err != nil {
		return err
	}
	pool, err := database.Open(ctx, c.URL(template), database.Options{Name: "template", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer pool.Close()
	return database.Migrate(ctx, pool)
}

// sweep removes what processes left that died together with their guard.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, d := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && syscall.Kill(n, 0) == syscall.ESRCH {
			_ = os.RemoveAll(d)
		}
	}
}
