package attunetest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// example gives the first piece of code of a language in the documentation of sensors.
func example(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "sensors.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("no example in %s", language)
	}
	return string(found[1])
}

func inbox(t *testing.T) []byte {
	t.Helper()
	_, archive, err := pack.Archive(attunetest.Pack(t, map[string]string{
		"pack.yaml":             "name: inbox\nversion: 1.0.0\ndescription: For tests.\nconfig: {type: object, properties: {folder: {type: string}}}\n",
		"triggers/arrived.yaml": "description: For tests.\n", "triggers/noticed.yaml": "description: For tests.\n",
		"actions/act.yaml": "description: For tests.\nruntime: shell\nentry_point: act.sh\n", "actions/act.sh": "true\n",
		"rules/arrived.yaml": "trigger: arrived\naction: act\n", "rules/noticed.yaml": "trigger: noticed\naction: act\n",
		"sensors/py.yaml": "description: For tests.\nruntime: python\nentry_point: py.py\ntriggers: [arrived]\n", "sensors/py.py": example(t, "python"),
		"sensors/sh.yaml": "description: For tests.\nruntime: shell\nentry_point: sh.sh\ntriggers: [noticed]\n", "sensors/sh.sh": example(t, "sh"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// awaitSensor returns a sensor as soon as it is as wanted.
func awaitSensor(t *testing.T, c *client.Client, ref, what string, is func(api.Sensor) bool) api.Sensor {
	t.Helper()
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		x, err := c.Sensor(t.Context(), ref)
		if err == nil && is(x) {
			return x
		}
		select {
		case <-deadline:
			t.Fatalf("%s is not %s: %+v, %v", ref, what, x, err)
		case <-tick.C:
		}
	}
}

func runs(x api.Sensor) bool { return x.Status == streams.SensorRunning }

// parent gives the process that started another, 0 when that has gone.
func parent(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if err != nil || len(fields) < 2 || fields[0] == "Z" {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// One of two hosts runs each sensor of a pack, whose programs are those of the documentation. The host of one is
// killed: its sensors are gone with it, and the other host goes on.
func TestSensorsMoveToAnotherHostWhenTheirsIsKilled(t *testing.T) {
	t.Parallel()
	env := append(outside(t), "ATTUNE_TOKEN=secret", "ATTUNE_HTTP_ADDR=127.0.0.1:0", "ATTUNE_DATA_DIR="+attunetest.DataDir(t), "ATTUNE_GRACE=2s")
	url := attunetest.Serve(t, env, "api").AwaitLine(t, `url=(http://\S+)`)
	hosts := map[int]*attunetest.Process{}
	for range 2 {
		p, err := attunetest.Launch(attunetest.Command(append(attunetest.Environment(), env...), "serve", "sensors"))
		if err != nil {
			t.Fatal(err)
		}
		hosts[p.PID()] = p
		t.Cleanup(func() { p.End(t, syscall.SIGINT) })
	}
	c, err := client.New(client.Config{URL: url, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.InstallPack(t.Context(), inbox(t), "test"); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if _, err := c.SetPackConfig(t.Context(), "inbox", fmt.Appendf(nil, `{"folder":%q}`, folder)); err != nil {
		t.Fatal(err)
	}
	arrive := func(name string, n int64) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"inbox.py", "inbox.sh"} {
			awaitSensor(t, c, ref, "counting "+name, func(x api.Sensor) bool { return runs(x) && x.Events >= n })
		}
	}
	arrive("a", 1)
	py := awaitSensor(t, c, "inbox.py", "running", runs)
	host := hosts[parent(py.PID)]
	if host == nil {
		t.Fatalf("process %d of %+v is no child of a host", py.PID, py)
	}
	host.End(t, syscall.SIGKILL)
	gone, tick := time.After(2*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for parent(py.PID) != 0 {
		select {
		case <-gone:
			t.Fatal("the sensor lives 2 s after its host was killed")
		case <-tick.C:
		}
	}
	again := awaitSensor(t, c, "inbox.py", "running again", func(x api.Sensor) bool { return runs(x) && x.PID != py.PID })
	if other := hosts[parent(again.PID)]; other == nil || other == host {
		t.Errorf("%+v is not on the other host", again)
	}
	arrive("b", 1)
	restartAndRest(t, c, again)
}

// restartAndRest looks at the log, has the sensor started again, and disables its rule.
func restartAndRest(t *testing.T, c *client.Client, x api.Sensor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	seen := &until{want: 2, of: "watching", done: cancel}
	followed := make(chan error, 1)
	go func() { followed <- c.SensorLog(ctx, client.SensorLog{Sensor: x.Ref, Follow: true}, to(seen)) }()
	awaitSensor(t, c, x.Ref, "in the log", func(api.Sensor) bool { return seen.count() == 1 })
	if _, err := c.RestartSensor(t.Context(), x.Ref); err != nil {
		t.Fatal(err)
	}
	awaitSensor(t, c, x.Ref, "started again", func(now api.Sensor) bool { return runs(now) && now.PID != x.PID && now.Restarts == x.Restarts })
	<-followed
	if n := seen.count(); n != 2 {
		t.Errorf("the log said %d times what it watches, want once for each start", n)
	}
	if _, err := c.SetRuleEnabled(t.Context(), "inbox.arrived", false); err != nil {
		t.Fatal(err)
	}
	idle := awaitSensor(t, c, x.Ref, "idle", func(x api.Sensor) bool { return x.Status == streams.SensorIdle })
	if !strings.Contains(idle.Reason, "are disabled: inbox.arrived") {
		t.Errorf("%+v", idle)
	}
	if _, err := c.RestartSensor(t.Context(), x.Ref); err == nil || !strings.Contains(err.Error(), "is idle") {
		t.Errorf("restart of an idle sensor: %v", err)
	}
}

// until counts a word in what is written, and is done when it came often enough.
type until struct {
	of   string
	want int
	done func()

	mu   sync.Mutex // guards text
	text strings.Builder
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.text.Write(p)
	if strings.Count(u.text.String(), u.of) >= u.want {
		u.done()
	}
	return len(p), nil
}

func (u *until) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Count(u.text.String(), u.of)
}

// A sensor that ships with the program runs as soon as a rule uses its trigger and its pack is configured.
func TestAShippedSensorServesARule(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t)
	in := attunetest.Start(t, attunetest.Options{Env: []string{"ATTUNE_NATS_URL=" + nats.URL(), "ATTUNE_NATS_CREDS=" + nats.UsersDir()}})
	c := in.Client()
	_, archive, err := pack.Archive(attunetest.Pack(t, map[string]string{
		"pack.yaml":        "name: probe\nversion: 1.0.0\ndescription: For tests.\n",
		"rules/files.yaml": "trigger: files.changed\naction: core.echo\nparameters: {message: '${{ event.payload.name }} is ${{ event.payload.event }}'}\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.InstallPack(t.Context(), archive, "test"); err != nil {
		t.Fatal(err)
	}
	x := awaitSensor(t, c, "files.watch", "in backoff", func(x api.Sensor) bool { return x.Status == streams.SensorBackoff })
	if !strings.Contains(x.Error, "paths is empty") {
		t.Errorf("%+v", x)
	}
	folder := t.TempDir()
	if _, err := c.SetPackConfig(t.Context(), "files", fmt.Appendf(nil, `{"paths":["%s/*"],"settle":"10ms"}`, folder)); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, c, "files.watch", "watching 1 folders")
	if out := in.Run("sensor", "logs", "files.watch", "--grep", "^.*ing [0-9] folders", "-o", "jsonl"); out.Code != 0 ||
		!regexp.MustCompile(`^{"stream":"stderr","offset":\d+,"time":"[^"]+","text":"[^\n]*watching 1 folders[^\n]*"}\n$`).MatchString(out.Stdout) {
		t.Errorf("%+v", out)
	}
	if err := os.WriteFile(filepath.Join(folder, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	facts := attunetest.AwaitFacts(t, in.Bus(), "core.echo", attunetest.Ended(1))
	if end := attunetest.Ends(facts)[0]; end.Status != streams.Succeeded || end.Event == "" {
		t.Errorf("%+v", end)
	}
	awaitSensor(t, c, "files.watch", "counting", func(x api.Sensor) bool { return x.Events == 1 })
	if out := in.Run("sensor", "list"); out.Code != 0 || !regexp.MustCompile(`files\.watch +running +\S+ +1 +20`).MatchString(out.Stdout) {
		t.Errorf("%+v", out)
	}
}

func awaitLog(t *testing.T, c *client.Client, ref, text string) {
	t.Helper()
	awaitSensor(t, c, ref, "saying "+text, func(api.Sensor) bool {
		var b strings.Builder
		return c.SensorLog(t.Context(), client.SensorLog{Sensor: ref}, to(&b)) == nil && strings.Contains(b.String(), text)
	})
}

// to writes the text of records to a writer.
func to(w io.Writer) func(api.LogRecord) error {
	return func(r api.LogRecord) error { _, err := w.Write(r.Bytes()); return err }
}
