package faulttest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/postgres"
)

// ownDatabase is a PostgreSQL of the test's own, which it may stop.
type ownDatabase struct {
	*node
	cluster *postgres.Cluster
}

func startDatabase(t *testing.T) *ownDatabase {
	t.Helper()
	c, err := postgres.Prepare(t.Context(), postgres.Config{Dir: filepath.Join(folder(t), "postgres"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d := &ownDatabase{cluster: c, node: &node{name: "postgres", command: func(string) *exec.Cmd {
		argv, as := c.Command()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = c.Dir(), []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		return cmd
	}}}
	t.Cleanup(func() { d.end(t) })
	d.resume(t)
	return d
}

// resume starts it and returns when it answers.
func (d *ownDatabase) resume(t *testing.T) {
	t.Helper()
	p := d.start(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.cluster.Await(ctx, p.Ended()); err != nil {
		t.Fatal(err)
	}
}

// end stops it hard: it writes nothing more and recovers at its next start.
func (d *ownDatabase) end(t *testing.T) {
	t.Helper()
	d.now().End(t, syscall.SIGQUIT)
}

func TestAPostgreSQLThatIsStoppedHardStopsNoExecution(t *testing.T) {
	t.Parallel()
	away := 3 * time.Second
	if *soak > 0 {
		away = 20 * time.Second
	}
	db := startDatabase(t)
	c := start(t, size{schedulers: 1, runners: 2, database: db.cluster.URL(postgres.Database)})
	g := c.group("database", "fault.one", 1)
	g.holdMS = 20
	g.request(200)
	g.awaitStart(20)
	db.end(t)
	stopped, before := time.Now(), g.started()
	_, err := c.client.Impatient().InstallPack(t.Context(), c.archive(), "test")
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a pack is installed meanwhile: %v, want 503", err)
	}
	pauseFor(t, away-time.Since(stopped))
	eventually(t, patience, "executions go on", func() bool { return g.started() >= before+20 })
	db.resume(t)
	h := g.settle()
	if n := statuses(h)["succeeded"]; n != 200 {
		t.Errorf("%v, want 200 succeeded", statuses(h))
	}
}
