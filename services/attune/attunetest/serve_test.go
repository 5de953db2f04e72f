package attunetest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// outside are servers that Attune did not start.
func outside(t *testing.T) []string {
	t.Helper()
	nats := natstest.Start(t)
	return []string{
		"ATTUNE_NATS_URL=" + nats.URL(), "ATTUNE_NATS_CREDS=" + nats.UsersDir(), "ATTUNE_DATABASE_URL=" + dbtest.URL(t),
	}
}

func TestUpUsesServersThatAreThere(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{Env: outside(t)})
	out := in.Run("run", "core.echo", "message=hi", "--follow")
	if out.Code != 0 || out.Stdout != "hi\n" {
		t.Errorf("%+v", out)
	}
	for _, own := range []string{"nats", "postgres"} {
		if _, err := os.Stat(filepath.Join(in.Dir, own)); err == nil {
			t.Errorf("it made a %s of its own", own)
		}
	}
}

func TestServicesInProcessesOfTheirOwnDoTheSame(t *testing.T) {
	t.Parallel()
	env := append(outside(t), "ATTUNE_TOKEN=secret", "ATTUNE_HTTP_ADDR=127.0.0.1:0", "ATTUNE_DATA_DIR="+attunetest.DataDir(t))
	var url string
	for _, service := range []string{"api", "sensors", "rules", "scheduler", "runner", "recorder"} {
		without := env
		if service == "runner" {
			without = slices.Delete(slices.Clone(env), 2, 3) // it takes no database
		}
		p := attunetest.Serve(t, without, service)
		if service == "api" {
			url = p.AwaitLine(t, `url=(http://\S+)`)
		}
	}
	awaitStatus(t, url+"/readyz", http.StatusOK)
	c, err := client.New(client.Config{URL: url, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	installProbe(t, c)
	accepted, err := c.Run(t.Context(), api.ExecutionRequest{Action: "probe.note", Parameters: []byte(`{"n": 1}`)}, "once")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := c.Wait(t.Context(), accepted.ID, nil); err != nil || x.Status != streams.Succeeded {
		t.Errorf("%+v, %v", x, err)
	}
}

// A server takes connections before its JetStream answers.
func TestServeWaitsForAServerThatIsStarting(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStreamMaxStore: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	store := t.TempDir() // it is removed after the server has ended
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(attunetest.Patience) {
		t.Fatal("the server takes no connections")
	}
	env := []string{
		"ATTUNE_NATS_URL=" + srv.ClientURL(), "ATTUNE_DATABASE_URL=" + dbtest.URL(t), "ATTUNE_DATA_DIR=" + attunetest.DataDir(t),
		"ATTUNE_TOKEN=secret", "ATTUNE_HTTP_ADDR=127.0.0.1:0",
	}
	recorder, api := attunetest.Serve(t, env, "recorder"), attunetest.Serve(t, env, "api")
	for _, p := range []*attunetest.Process{recorder, api} {
		p.AwaitLine(t, `(bus is not ready)`)
	}
	if err := srv.EnableJetStream(&server.JetStreamConfig{StoreDir: store, MaxStore: 1 << 40, MaxMemory: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*attunetest.Process{api, recorder} { // the one makes the streams, the other waits for them
		p.AwaitLine(t, `(serving)`)
	}
}

func installProbe(t *testing.T, c *client.Client) {
	t.Helper()
	_, archive, err := pack.Archive(probe(t, attunetest.SharedFile(t, "notes")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.InstallPack(t.Context(), archive, "test"); err != nil {
		t.Fatal(err)
	}
}

func awaitStatus(t *testing.T, url string, want int) {
	t.Helper()
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.Get(url)
		if err == nil {
			_ = res.Body.Close() // nothing is read
			if res.StatusCode == want {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", url, err)
		case <-tick.C:
		}
	}
}

func TestASecondSignalEndsItAtOnceAndLeavesNoProcess(t *testing.T) {
	t.Parallel()
	in, _ := startProbe(t, attunetest.Options{})
	runRest(t, in)
	if in.StopTwice() == 0 {
		t.Error("status 0 though an execution was cut")
	}
	in.AwaitNoProcess()
	in.Restart()
	facts := attunetest.AwaitFacts(t, in.Bus(), "probe.rest", attunetest.Ended(1))
	if end := attunetest.Ends(facts)[0]; end.Status != streams.Lost {
		t.Errorf("what ran ended as %s", end.Status)
	}
}

func TestATerminatedProcessStopsCleanly(t *testing.T) {
	t.Parallel()
	p := attunetest.Serve(t, append(outside(t), "ATTUNE_DATA_DIR="+attunetest.DataDir(t)), "recorder")
	p.AwaitLine(t, `(serving)`)
	if code := p.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("status %d", code)
	}
}
