package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/services/scheduler"
)

// When servers write to disk.
const (
	syncAlways   = "always"
	syncInterval = "interval"
)

// serverConfig is the argument of a server's process.
type serverConfig struct {
	Name     string
	Dir      string
	Port     int
	Route    int   // its own port among the servers; 0: it is alone
	Routes   []int // of all servers
	Sync     string
	Profiles string
}

func (c serverConfig) url() string { return "nats://127.0.0.1:" + strconv.Itoa(c.Port) }

func (c serverConfig) options() *server.Options {
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoSigs: true, MaxPayload: natsserver.MaxPayload,
		JetStream: true, StoreDir: filepath.Join(c.Dir, c.Name), SyncAlways: c.Sync == syncAlways,
	}
	if c.Route != 0 {
		o.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: c.Route}
		var routes []string
		for _, p := range c.Routes {
			routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(p))
		}
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
	}
	return o
}

// serve is a server's process.
func serve(ctx context.Context, args []string, w io.Writer) error {
	var c serverConfig
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	s, err := server.NewServer(c.options())
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(startPatience) {
		return errors.New("server is not ready")
	}
	fmt.Fprintf(w, `{"msg":%q}`+"\n", reportReady)
	listen(ctx, c.Name, c.Profiles, w)
	return nil
}

// leaderConfig is the argument of a scheduler's process.
type leaderConfig struct {
	Name     string
	URL      string
	Profiles string
}

// lead is a scheduler's process. Its log is its report.
func lead(ctx context.Context, args []string, w io.Writer) error {
	var c leaderConfig
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	b, err := bus.Connect(ctx, bus.Config{URL: c.URL, Name: c.Name})
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := scheduler.New(scheduler.Config{Bus: b, ID: c.Name, Logger: slog.New(slog.NewJSONHandler(w, nil))})
	if err != nil {
		return err
	}
	go listen(ctx, c.Name, c.Profiles, w)
	fmt.Fprintf(w, `{"msg":%q}`+"\n", reportReady)
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// start starts a part and waits until it is ready.
func start(ctx context.Context, name, dir, command string, config any) (*part, error) {
	arg, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	p, err := launch(name, dir, command, string(arg))
	if err != nil {
		return nil, err
	}
	if _, err := p.await(ctx, reportReady); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// startServers starts one server, or several that know each other.
func startServers(ctx context.Context, dir string, o Options) (parts []*part, url string, err error) {
	ports, err := freePorts(2 * o.Servers)
	if err != nil {
		return nil, "", err
	}
	var urls []string
	began := make(chan result, o.Servers)
	for i := range o.Servers {
		c := serverConfig{Name: "server" + strconv.Itoa(i+1), Dir: dir, Port: ports[i], Sync: o.Sync, Profiles: o.Profiles}
		if o.Servers > 1 {
			c.Route, c.Routes = ports[o.Servers+i], ports[o.Servers:]
		}
		urls = append(urls, c.url())
		go func() {
			p, err := start(ctx, c.Name, dir, serverCommand, c)
			began <- result{p, err}
		}()
	}
	for range o.Servers {
		r := <-began
		if r.err == nil {
			parts = append(parts, r.part)
		}
		err = errors.Join(err, r.err)
	}
	return parts, strings.Join(urls, ","), err
}

type result struct {
	part *part
	err  error
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// pause waits between two questions of which the answer changes by itself.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Server is a NATS server in a process of its own, without streams.
type Server struct {
	part *part
	url  string
}

// StartServer starts one with its data in a folder. It waits for the disk before it acknowledges if sync is "always".
func StartServer(ctx context.Context, dir, sync string) (*Server, error) {
	parts, url, err := startServers(ctx, dir, Options{Servers: 1, Sync: sync})
	if err != nil {
		return nil, err
	}
	return &Server{part: parts[0], url: url}, nil
}

// URL is where it listens.
func (s *Server) URL() string { return s.url }

// CPU gives the processor time that it has used.
func (s *Server) CPU() time.Duration { return s.part.cpu() }

// Stop ends it.
func (s *Server) Stop() error { return s.part.kill() }
