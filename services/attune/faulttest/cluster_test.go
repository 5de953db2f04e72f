package faulttest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/attunetest"
)

// cluster is an installation whose every part is a process.
type cluster struct {
	t      *testing.T
	dir    string
	env    []string
	client *client.Client

	nats, api, rules, recorder *node
	schedulers, runners        []*node
}

// size says how many of each there are, and which plan of failpoints they start with.
type size struct {
	schedulers, runners int
	plan                func(node string) string // nil: none
	database            string                   // "": one of the test's own
}

// start starts a cluster with the pack of probes.
func start(t *testing.T, s size) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: folder(t)}
	if s.database == "" {
		s.database = dbtest.URL(t)
	}
	nats, http := freeAddr(t), freeAddr(t)
	c.env = append(attunetest.Environment(), "XDG_CONFIG_HOME="+filepath.Join(c.dir, "config"),
		"ATTUNE_NATS_URL=nats://"+nats, "ATTUNE_NATS_CREDS="+filepath.Join(c.dir, "nats", "users"),
		"ATTUNE_HTTP_ADDR="+http, "ATTUNE_TOKEN=secret", "ATTUNE_LOG_FORMAT=text", "ATTUNE_LOG_LEVEL=debug",
		"ATTUNE_FAILPOINTS_LOG="+filepath.Join(c.dir, "firings"),
		"ATTUNE_ACTION_UIDS=none", // the probes say which process they are, which in a namespace of their own they do not know
		attunetest.WithoutRuntimes(t, "container", "python", "node", "bun", "deno", "ruby", "perl", "php"))
	c.furnish(s, nats)
	t.Cleanup(c.stop)
	c.begin(s)
	var err error
	if c.client, err = client.New(client.Config{URL: "http://" + http, Token: "secret"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	c.awaitReady()
	c.install()
	return c
}

// furnish makes the nodes. Nothing runs yet.
func (c *cluster) furnish(s size, nats string) {
	c.nats = &node{name: "nats", command: func(string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(attunetest.Environment(), natsDir+"="+filepath.Join(c.dir, "nats"), natsAddr+"="+nats)
		return cmd
	}}
	db := "ATTUNE_DATABASE_URL=" + s.database
	c.api = c.service("api", "api", db)
	c.rules = c.service("rules", "rules", db)
	c.recorder = c.service("recorder", "recorder", db)
	for i := range s.schedulers {
		c.schedulers = append(c.schedulers, c.service(fmt.Sprintf("scheduler-%d", i), "scheduler", db))
	}
	for i := range s.runners {
		name := fmt.Sprintf("runner-%d", i)
		c.runners = append(c.runners, c.service(name, "runner", "ATTUNE_RUNNER_NAME="+name, "ATTUNE_SLOTS=4"))
	}
}

func (c *cluster) service(name, service string, env ...string) *node {
	env = append(slices.Concat(c.env, env), "ATTUNE_DATA_DIR="+filepath.Join(c.dir, name))
	return &node{name: name, command: func(plan string) *exec.Cmd {
		return attunetest.Command(append(slices.Clone(env), "ATTUNE_FAILPOINTS="+plan), "serve", service)
	}}
}

// services are all nodes but NATS, those that request work first.
func (c *cluster) services() []*node {
	return slices.Concat([]*node{c.api, c.rules, c.recorder}, c.schedulers, c.runners)
}

func (c *cluster) begin(s size) {
	c.t.Helper()
	c.startNATS()
	for _, n := range c.services() {
		plan := ""
		if s.plan != nil {
			plan = s.plan(n.name)
		}
		n.start(c.t, plan)
	}
}

func (c *cluster) startNATS() {
	c.t.Helper()
	c.nats.start(c.t, "").AwaitLine(c.t, `(ready)`)
}

// stop ends all processes, as an operator would, and looks at what they said.
func (c *cluster) stop() {
	c.t.Helper()
	nodes := append(c.services(), c.nats)
	for _, n := range nodes {
		n.unkeep()
		if p := n.now(); p != nil && n != c.nats {
			p.Signal(syscall.SIGCONT)
			p.Signal(syscall.SIGINT) // all at once: they wait for each other no longer than for themselves
		}
	}
	for _, n := range nodes {
		n.stop(c.t)
	}
	for _, n := range nodes {
		n.judge(c.t)
	}
}

func (c *cluster) awaitReady() {
	c.t.Helper()
	eventually(c.t, patience, "the API is ready", func() bool {
		res, err := http.Get(c.client.URL() + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close() // nothing is read
		return res.StatusCode == http.StatusOK
	})
}

// install installs the pack of probes.
func (c *cluster) install() {
	c.t.Helper()
	if _, err := c.client.InstallPack(c.t.Context(), c.archive(), "test"); err != nil {
		c.t.Fatal(err)
	}
}

// archive is the pack of probes: one queue for each value of the parameter queue, of one or of two slots.
func (c *cluster) archive() []byte {
	c.t.Helper()
	program, err := probe()
	if err != nil {
		c.t.Fatal(err)
	}
	binary, err := os.ReadFile(program) //nolint:gosec // it was just built
	if err != nil {
		c.t.Fatal(err)
	}
	const action = "description: notes that it runs\nruntime: native\nentry_point: mark\nparameters:\n  type: object\n  properties:\n" +
		"    n: {type: integer}\n    file: {type: string}\n    queue: {type: string}\n    hold_ms: {type: integer}\n    fail: {type: integer}\n  required: [n, file, queue]\n" +
		"timeout: 1h\nconcurrency:\n  key: params.queue\n  limit: "
	dir := attunetest.Pack(c.t, map[string]string{
		"pack.yaml":          "name: fault\nversion: 1.0.0\ndescription: notes what runs\n",
		"triggers/ping.yaml": "description: asks for a note\n",
		"rules/note.yaml": "trigger: fault.ping\nwhen: event.payload.n >= 0\naction: fault.one\nparameters:\n" +
			"  n: ${{ event.payload.n }}\n  file: ${{ event.payload.file }}\n  queue: ${{ event.payload.queue }}\n",
		"actions/one.yaml":   action + "1\n",
		"actions/two.yaml":   action + "2\n",
		"actions/again.yaml": action + "1\nretry:\n  attempts: 2\n  delay: 100ms\n  on: [failed, lost]\n",
		"actions/hold.yaml":  action + "1\nretry:\n  attempts: 2\n  delay: 100ms\n  on: [failed, lost]\n  order: hold\n",
		"actions/rated.yaml": action + "2\nrate: 5/s burst 1\n",
		"actions/print.yaml": "description: prints numbers\nruntime: shell\nentry_point: print.sh\ntimeout: 1h\nlogs:\n  segment_bytes: 65536\n",
		"actions/print.sh":   "seq 1 " + strconv.Itoa(printed) + "\n",
		"actions/mark":       string(binary),
	})
	_, archive, err := pack.Archive(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return archive
}

// fired counts the firings of a failpoint.
func (c *cluster) fired(name failpoint.Name) (n int) {
	c.t.Helper()
	all, err := failpoint.Firings(filepath.Join(c.dir, "firings"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range all {
		if f.Name == name {
			n++
		}
	}
	return n
}

// eventually returns when the condition holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(within), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// freeAddr gives an address that a server may listen on again and again.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only to find the address
	return l.Addr().String()
}

// folder is like t.TempDir, in a place that PostgreSQL's user can reach.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-fault-") //nolint:usetesting // t.TempDir lies in a folder closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("its files stay in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killNow starts a node anew with a plan, and keeps it without one afterwards.
func (c *cluster) killNow(n *node, plan string) {
	c.t.Helper()
	n.kill()
	n.start(c.t, plan)
	n.keep(c.t, func() string { return "" })
}

// calm has nodes run without failpoints.
func (c *cluster) calm(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		n.stop(c.t)
		n.start(c.t, "")
	}
}

// pauseFor lets the cluster work for a while. No condition says when enough has happened.
func pauseFor(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
