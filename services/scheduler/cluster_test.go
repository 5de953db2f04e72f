package scheduler

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// cluster starts three servers that replicate every stream.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	ports := freePorts(t, 3)
	var routes []string
	for _, p := range ports {
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(p))
	}
	var servers []*server.Server
	for i, p := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: "n" + strconv.Itoa(i), Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: p}, Routes: server.RoutesFromStr(strings.Join(routes, ",")),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	return servers
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // it is a probe
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func dialCluster(t *testing.T, servers []*server.Server) *bus.Bus {
	t.Helper()
	var urls []string
	for _, s := range servers {
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("server is not ready")
		}
		urls = append(urls, s.ClientURL())
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: strings.Join(urls, ","), Name: t.Name(), Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// ensure makes the streams as soon as the cluster has a leader.
func ensure(t *testing.T, b *bus.Bus) {
	t.Helper()
	var err error
	eventually(t, "streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err = streams.Ensure(ctx, b.JS, streams.Options{Replicas: 3})
		return err == nil
	})
}

// On three servers dispatches go in fenced batches, reads may lag, and a server may go.
func TestOrderAndLimitHoldOnAClusterThatLosesAServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	servers := cluster(t)
	ensure(t, dialCluster(t, servers))
	w := newWorldOn(t, func() *bus.Bus { return dialCluster(t, servers) })
	w.run("r1", 8, func(string) {})
	first := w.schedule("s1")
	w.awaitLeader(first)
	if !first.leading.current.Load().replicated {
		t.Fatal("the streams are not replicated")
	}
	ids := w.requestMany(200, "core.echo", 2)
	w.await(200)
	w.schedule("s2")
	first.kill()
	for i := range 5 { // unlimited: more than one message a batch
		ids = append(ids, w.requestMany(20, fmt.Sprintf("core.free%d", i), 0)...)
	}
	w.await(len(ids))
	w.checkHistory(2, ids[:200])
	leader := streamLeader(t, w.bus, servers, streams.Runs)
	leader.Shutdown()
	leader.WaitForShutdown()
	late := requestPatiently(w, 20)
	w.await(len(ids) + len(late))
}

func streamLeader(t *testing.T, b *bus.Bus, servers []*server.Server, stream string) *server.Server {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range servers {
		if srv.Name() == s.CachedInfo().Cluster.Leader {
			return srv
		}
	}
	t.Fatal("no leader")
	return nil
}

// requestPatiently requests while a server is gone, as the services do: until it is known to be requested.
func requestPatiently(w *world, n int) (ids []string) {
	w.t.Helper()
	for range n {
		r := execution.Request{ID: execution.NewID(), Action: "core.late", PackDigest: "d", Parameters: []byte(`{}`), Limit: 1, Pool: streams.DefaultPool}
		eventually(w.t, "a request", func() bool {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			defer cancel()
			_, err := w.facts.Request(ctx, r)
			return err == nil
		})
		ids = append(ids, r.ID)
	}
	return ids
}
