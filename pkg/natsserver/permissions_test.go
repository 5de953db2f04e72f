package natsserver_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Requests of the JetStream API: to the server, about a stream, and about a consumer of a stream.
var (
	serverRequests = []string{
		server.JSApiAccountInfo, server.JSApiStreams, server.JSApiStreamList, server.JSApiLeaderStepDown, server.JSApiRemoveServer,
		server.JSApiEvacuateServer, server.JSApiMetaRescue, fmt.Sprintf(server.JSApiAccountPurgeT, "ATTUNE"),
	}
	streamRequests = []string{
		server.JSApiStreamCreateT, server.JSApiStreamUpdateT, server.JSApiStreamInfoT, server.JSApiStreamDeleteT, server.JSApiStreamPurgeT,
		server.JSApiStreamSnapshotT, server.JSApiStreamRestoreT, server.JSApiMsgDeleteT, server.JSApiMsgGetT, server.JSDirectMsgGetT,
		"$JS.API.DIRECT.GET.%s.some.subject", server.JSApiConsumerCreateT, server.JSApiConsumersT, server.JSApiConsumerListT,
		server.JSApiStreamRemovePeerT, server.JSApiStreamEvacuatePeerT, server.JSApiStreamCancelMoveT, server.JSApiStreamLeaderStepDownT,
		"$JS.API.ACCOUNT.STREAM.MOVE.ATTUNE.%s", "$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.ATTUNE.%s", "$JS.FC.%s.x",
	}
	consumerRequests = []string{
		"$JS.API.CONSUMER.CREATE.%s.%s.some.subject", server.JSApiDurableCreateT, server.JSApiConsumerInfoT, server.JSApiConsumerDeleteT,
		server.JSApiConsumerPauseT, server.JSApiRequestNextT, server.JSApiConsumerResetT, server.JSApiConsumerUnpinT,
		server.JSApiConsumerLeaderStepDownT, server.JSApiConsumerRemovePeerT, server.JSApiConsumerEvacuatePeerT, "$JS.ACK.%s.%s.1.1.1.1.0",
	}
)

// everything lists every request to every stream, and every kind of message of ours.
func everything() []string {
	all := slices.Clone(serverRequests)
	for _, s := range append(allStreams(), "OTHER") {
		for _, t := range streamRequests {
			all = append(all, fmt.Sprintf(t, s))
		}
		for _, t := range consumerRequests {
			all = append(all, fmt.Sprintf(t, s, "some"))
		}
	}
	for _, b := range streams.Buckets() {
		all = append(all, "$KV."+b+".some")
	}
	for _, lease := range []string{"scheduler", "rules", "sensors", "sensors.some", "installer", "canary"} {
		all = append(all, "$KV."+streams.BucketLeases+"."+lease)
	}
	for _, b := range streams.DeclaredObjects(streams.Options{}) {
		all = append(all, "$O."+b.Bucket+".C.some", "$O."+b.Bucket+".M.some")
	}
	all = append(all, fmt.Sprintf(server.JSApiConsumerResetT, streams.Logs, streams.ConsumerForward))
	return append(all, ours()...)
}

// ours are one subject of each kind that Attune's messages go to.
func ours() []string {
	return []string{
		"attune.event.demo.some", "attune.event.core.some", "attune.decision.demo.some.1", "attune.execution.demo.some.1", "attune.queue.demo.some._.1",
		"attune.run.default.1", streams.LeaderSubject, "attune.log.1.stdout", streams.RPCQueueList, streams.RPCQueueShow, streams.RPCQueueStats,
		streams.RPCQueuePosition, streams.RPCSecret, "attune.rpc.sensor.restart.demo.some", "_INBOX.attune-api.x.1", "$SYS.REQ.SERVER.PING", "other",
	}
}

func allStreams() (names []string) {
	for _, s := range streams.Declared(streams.Options{}) {
		names = append(names, s.Name)
	}
	for _, b := range streams.Buckets() {
		names = append(names, "KV_"+b)
	}
	for _, b := range streams.DeclaredObjects(streams.Options{}) {
		names = append(names, "OBJ_"+b.Bucket)
	}
	return names
}

// intruder is a connection that hears what it was refused.
type intruder struct {
	*nats.Conn
	refused chan error
}

func intrude(t *testing.T, s *natsserver.Server, user string) intruder {
	t.Helper()
	in := intruder{refused: make(chan error, 4096)}
	var err error
	in.Conn, err = nats.Connect(s.URL(), nats.UserCredentials(filepath.Join(s.UsersDir(), user+".creds")), nats.CustomInboxPrefix(streams.InboxPrefix(streams.ConnectionName(user))),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				in.refused <- err
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

// last is what nobody but people may do: when its refusal has come, all before it have.
const last = "nobody.may.this"

// tries does something and gives the subjects that were refused.
func (in intruder) tries(t *testing.T, kind string, do func() error) map[string]bool {
	t.Helper()
	if err := errors.Join(do(), in.Publish(last, nil), in.Flush()); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for deadline := time.After(time.Minute); ; {
		select {
		case err := <-in.refused:
			_, quoted, _ := strings.Cut(err.Error(), kind+` to "`)
			subject, _, _ := strings.Cut(quoted, `"`)
			if strings.Contains(err.Error(), last) {
				return refused
			}
			refused[subject] = true
		case <-deadline:
			t.Fatal("the server does not answer")
		}
	}
}

func (in intruder) mayPublish(t *testing.T, subjects []string) (may []string) {
	t.Helper()
	refused := in.tries(t, "Publish", func() (err error) {
		for _, s := range subjects {
			err = errors.Join(err, in.PublishRequest(s, in.NewInbox(), []byte("{}")))
		}
		return err
	})
	return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return refused[s] })
}

func (in intruder) maySubscribe(t *testing.T, subjects []string) (may []string) {
	t.Helper()
	var subs []*nats.Subscription
	refused := in.tries(t, "Subscription", func() error {
		for _, s := range subjects {
			sub, err := in.SubscribeSync(s)
			if err != nil {
				return err
			}
			subs = append(subs, sub)
		}
		return nil
	})
	for _, s := range subs {
		_ = s.Unsubscribe() // the server may have refused it
	}
	return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return refused[s] })
}

// heard is what somebody might listen to.
func heard() []string {
	all := append(ours(), ">", "attune.>", streams.AllEvents, streams.AllDecisions, streams.AllExecutions, streams.AllQueued, streams.AllRuns,
		streams.AllLogs, streams.AllSensorRestarts, "$KV.>", "$O.>", "$JS.>", "$JS.EVENT.ADVISORY.>", "$SYS.>", "_INBOX.>")
	for _, u := range streams.Users() {
		all = append(all, streams.InboxPrefix(streams.ConnectionName(u))+".>")
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "other" })
}

// What each user may do, of the whole JetStream API and of all our subjects, is in the golden files: a line that
// appears there is a right that somebody got.
func TestEachUserMayDoWhatItsGoldenFileSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, user := range streams.Users() {
		if user == streams.UserPeople {
			continue
		}
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t) // of its own: some of what is tried succeeds
			in := intrude(t, s, user)
			lines := []string{"subscribe:"}
			lines = append(lines, in.maySubscribe(t, heard())...)
			lines = append(lines, "publish:")
			lines = append(lines, in.mayPublish(t, everything())...)
			golden(t, filepath.Join("testdata", "users", user+".txt"), strings.Join(lines, "\n")+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(got), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The promises of SECURITY.md about a runner's credential, by what they mean rather than by subject.
func TestARunnersCredentialDoesNotReachWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	people := natstest.Connect(t, s)
	for _, subject := range []string{"attune.queue.demo.act._.1", "attune.event.demo.tick", "attune.run.default.1"} {
		if _, err := people.JS.Publish(t.Context(), subject, []byte("private")); err != nil {
			t.Fatal(err)
		}
	}
	runner := asUser(t, s, streams.UserRunner)
	for _, stream := range []string{streams.Queue, streams.Events, streams.Decisions, "KV_" + streams.BucketLeases, "KV_" + streams.BucketSensors} {
		if _, err := runner.JS.Stream(t.Context(), stream); err == nil {
			t.Errorf("it opens stream %s", stream)
		}
	}
	if _, err := runner.JS.Publish(t.Context(), "attune.event.demo.tick", []byte("{}")); err == nil {
		t.Error("it publishes events")
	}
	if _, err := runner.JS.Publish(t.Context(), "attune.run.default.2", []byte("{}")); err == nil {
		t.Error("it dispatches")
	}
	c, err := runner.JS.Consumer(t.Context(), streams.Runs, "pool_default")
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := c.Fetch(1, jetstream.FetchMaxWait(10*time.Second)); err != nil {
		t.Error(err)
	} else if m := <-batch.Messages(); m == nil || string(m.Data()) != "private" {
		t.Errorf("what is dispatched to it does not come: %v", batch.Error())
	}
	heard, err := runner.Conn.SubscribeSync(streams.RPCSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(runner.Conn.Flush(), people.Conn.Publish(streams.RPCSecret, []byte("question")), people.Conn.Flush(), runner.Conn.Flush()); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := heard.Pending(); n != 0 {
		t.Error("it hears what others ask for secrets")
	}
}

// asUser connects as a service does. Requests that are refused are never answered, so they are not waited for long.
func asUser(t *testing.T, s *natsserver.Server, user string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{
		URL: s.URL(), CredsFile: filepath.Join(s.UsersDir(), user+".creds"), Name: streams.ConnectionName(user), FailFast: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if b.JS, err = jetstream.New(b.Conn, jetstream.WithDefaultTimeout(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	return b
}

// What nobody asked for is not there to be attacked.
func TestTheServerListensForClientsOnly(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(filepath.Join(filepath.Dir(s.UsersDir()), "system.creds")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.Request("$SYS.REQ.SERVER.PING.VARZ", nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{`"http_port":0`, `"https_port":0`, `"cluster":{}`, `"gateway":{}`, `"leaf":{}`, `"mqtt":{}`, `"websocket":{}`} {
		if !strings.Contains(string(m.Data), closed) {
			t.Errorf("%s is not in %.2000s", closed, m.Data)
		}
	}
}
