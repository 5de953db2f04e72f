package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/services/attune/parts"
)

// settings are what the command line says.
type settings struct {
	dir, http, nats, binary string
}

// servers is how many NATS servers there are: a majority of three is there without one of them.
const servers = 3

// copies is how many processes of each service there are. Of rules, scheduler and sensors one is active.
var copies = []struct {
	service string
	n       int
}{
	{parts.Recorder, 2},
	{parts.API, 2},
	{parts.Scheduler, 2},
	{parts.Rules, 2},
	{parts.Sensors, 2},
	{parts.Runner, 3},
}

// outlast are the services that stop last: they record and show what becomes of what the others run.
var outlast = map[string]bool{parts.Recorder: true, parts.API: true}

// layout is where everything is.
type layout struct {
	dir    string
	binary string   // attune
	apis   []string // host:port
	nats   []string // host:port that clients connect to
	routes []string // host:port that the servers connect to
	token  string
	creds  string // of NATS
	dbURL  string
}

func (l layout) path(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

func (l layout) natsURL() string { return "nats://" + strings.Join(l.nats, ",nats://") }

func (l layout) apiURL() string { return "http://" + l.apis[0] }

// addresses are those that follow one another from the first on, or free ones for port 0.
func addresses(flag, first string, n int) ([]string, error) {
	host, text, err := net.SplitHostPort(first)
	port, errPort := strconv.Atoi(text)
	if err != nil || errPort != nil || port < 0 || port+n > 1<<16 {
		return nil, fmt.Errorf("%w: --%s %q: want HOST:PORT", config.ErrBad, flag, first)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%w: --%s %q: want a loopback address, such as 127.0.0.1: this cluster is for one machine", config.ErrBad, flag, first)
	}
	out := make([]string, n)
	for i := range out {
		addr := net.JoinHostPort(host, "0")
		if port != 0 {
			addr = net.JoinHostPort(host, strconv.Itoa(port+i))
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("%w; choose other ports with --%s HOST:PORT, port 0 takes free ones", err, flag)
		}
		defer l.Close() //nolint:errcheck // it only keeps the port until all are found
		out[i] = l.Addr().String()
	}
	return out, nil
}

// find finds a place for every listener.
func (l *layout) find(s settings) error {
	var errs [3]error
	l.apis, errs[0] = addresses("http", s.http, 2)
	l.nats, errs[1] = addresses("nats", s.nats, servers)
	l.routes, errs[2] = addresses("nats", "127.0.0.1:0", servers)
	return errors.Join(errs[:]...)
}

// programs are the NATS servers, and the services in the groups that stop one after the other.
func (l layout) programs() (nats, last, first []*program) {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	for i := range servers {
		name := fmt.Sprintf("nats-%d", i+1)
		nats = append(nats, l.program(name, nil, self, "nats", "--name", name, "--dir", l.path(name), "--identities", l.path("identities"),
			"--addr", l.nats[i], "--route", l.routes[i], "--routes", strings.Join(l.routes, ",")))
	}
	for _, c := range copies {
		for i := range c.n {
			p := l.program(fmt.Sprintf("%s-%d", c.service, i+1), l.environment(c.service, i), l.binary, "serve", c.service)
			if outlast[c.service] {
				last = append(last, p)
			} else {
				first = append(first, p)
			}
		}
	}
	return nats, last, first
}

func (l layout) program(name string, env []string, argv ...string) *program {
	return &program{name: name, argv: argv, env: append(inherited(), env...), log: l.path("log", name+".log"), pid: l.path("run", name+".pid")}
}

// environment is what a copy of a service is told. The copies of the API share the key of secrets; runners have
// folders and names of their own, and no database.
func (l layout) environment(service string, i int) []string {
	env := []string{
		"ATTUNE_NATS_URL=" + l.natsURL(), "ATTUNE_NATS_CREDS=" + l.path("identities", "users"), fmt.Sprintf("ATTUNE_REPLICAS=%d", servers),
		"ATTUNE_DATA_DIR=" + l.path(service), "ATTUNE_LOG_FORMAT=text",
	}
	if service == parts.API {
		env = append(env, "ATTUNE_HTTP_ADDR="+l.apis[i], "ATTUNE_TOKEN="+l.token)
	}
	if service == parts.Runner {
		name := fmt.Sprintf("runner-%d", i+1)
		return append(env, "ATTUNE_RUNNER_NAME="+name, "ATTUNE_DATA_DIR="+l.path(name))
	}
	return append(env, "ATTUNE_DATABASE_URL="+l.dbURL)
}

// handedOn are the settings that mean for the copies what they mean for one.
var handedOn = []string{"LOG_LEVEL", "SYNC", "SLOTS", "GRACE", "DRAIN"}

// inherited is this process's environment without what is Attune's, but for what is handed on.
func inherited() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, config.Prefix+"_") {
			env = append(env, v)
		}
	}
	for _, name := range handedOn {
		if value, ok := os.LookupEnv(config.Prefix + "_" + name); ok {
			env = append(env, config.Prefix+"_"+name+"="+value)
		}
	}
	return env
}
