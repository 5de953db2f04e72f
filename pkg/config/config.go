// Package config is the configuration of the services: one structure, read from the environment once, checked
// as a whole, with every mistake reported together. Nothing else of Attune reads the environment.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Config is the configuration. Every field is ATTUNE_ and its name in the environment.
type Config struct {
	DataDir     string        `envconfig:"DATA_DIR" desc:"folder of everything that is kept"`
	HTTPAddr    string        `envconfig:"HTTP_ADDR" default:"127.0.0.1:8080" desc:"address of the API"`
	NATSAddr    string        `envconfig:"NATS_ADDR" default:"127.0.0.1:4222" desc:"address of the embedded NATS server"`
	NATSURL     string        `envconfig:"NATS_URL" desc:"use these NATS servers instead of the embedded one"`
	NATSCreds   string        `envconfig:"NATS_CREDS" desc:"credentials file for NATS_URL"`
	DatabaseURL string        `envconfig:"DATABASE_URL" desc:"use this PostgreSQL instead of a private one"`
	Token       string        `envconfig:"TOKEN" desc:"API token; made on the first start when empty"`
	APIURL      string        `envconfig:"API_URL" desc:"API that the client commands talk to"`
	LogLevel    string        `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	LogFormat   string        `envconfig:"LOG_FORMAT" default:"auto" desc:"auto, text or json"`
	Sync        string        `envconfig:"SYNC" default:"always" desc:"always: disk before acknowledge; interval: faster, loses seconds at a power failure"`
	Replicas    int           `envconfig:"REPLICAS" default:"1" desc:"copies of every stream"`
	Slots       int           `envconfig:"SLOTS" desc:"executions that a runner runs at once; 0: sixteen per processor"`
	Pool        string        `envconfig:"POOL" default:"default" desc:"pool that a runner serves"`
	RunnerName  string        `envconfig:"RUNNER_NAME" desc:"name of this runner; the host's when empty"`
	Grace       time.Duration `envconfig:"GRACE" default:"10s" desc:"between TERM and KILL for an action"`
	Drain       time.Duration `envconfig:"DRAIN" default:"30s" desc:"how long a stop waits for running executions"`
}

// Prefix begins every variable's name.
const Prefix = "ATTUNE"

// ErrBad is returned by Load and Check, joined with one error per mistake.
var ErrBad = errors.New("configuration is not usable")

// Load reads the environment and fills in what has no value. It does not check; flags may still change it.
func Load() (Config, error) {
	var c Config
	if err := envconfig.Process(Prefix, &c); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrBad, err)
	}
	if c.DataDir == "" {
		c.DataDir = DefaultDataDir()
	}
	if c.Slots == 0 {
		c.Slots = 16 * runtime.NumCPU()
	}
	if c.RunnerName == "" {
		c.RunnerName = hostName()
	}
	return c, nil
}

// DefaultDataDir is where everything is kept when nobody says otherwise: /var/lib/attune for root, else the
// user's data folder as the XDG base directory specification names it.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/attune"
	}
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "attune")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "attune-data"
	}
	return filepath.Join(home, ".local", "share", "attune")
}

func hostName() string {
	h, err := os.Hostname()
	if err != nil {
		return "runner"
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r <= ' ' || r >= 0x7f || r == '*' || r == '>' {
			return '-'
		}
		return r
	}, h)
}

// Check finds every mistake and returns them joined.
func (c Config) Check() error {
	errs := []error{
		checkAddr("HTTP_ADDR", c.HTTPAddr), checkAddr("NATS_ADDR", c.NATSAddr),
		checkURL("NATS_URL", c.NATSURL, "nats", "tls", "ws", "wss"), checkURL("DATABASE_URL", c.DatabaseURL, "postgres", "postgresql"),
		checkURL("API_URL", c.APIURL, "http", "https"),
		oneOf("LOG_LEVEL", strings.ToLower(c.LogLevel), "debug", "info", "warn", "error"),
		oneOf("LOG_FORMAT", c.LogFormat, "auto", "text", "json"), oneOf("SYNC", c.Sync, "always", "interval"),
		between("REPLICAS", c.Replicas, 1, 5), between("SLOTS", c.Slots, 1, 10_000),
	}
	if c.NATSCreds != "" && c.NATSURL == "" {
		errs = append(errs, wrong("NATS_CREDS", c.NATSCreds, "it goes with NATS_URL, which is empty"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w:\n%w", ErrBad, err)
	}
	return nil
}

func wrong(name, value, why string) error {
	return fmt.Errorf("%s_%s=%q: %s", Prefix, name, value, why)
}

func checkAddr(name, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return wrong(name, addr, "want HOST:PORT, such as 127.0.0.1:8080")
	}
	return nil
}

// checkURL does not repeat a URL that it refuses: it may hold a password.
func checkURL(name, raw string, schemes ...string) error {
	for part := range strings.SplitSeq(raw, ",") {
		if part == "" {
			continue
		}
		u, err := url.Parse(part)
		if err != nil || u.Host == "" && u.Query().Get("host") == "" { // host=/folder names PostgreSQL's socket
			return wrong(name, "...", "want "+schemes[0]+"://HOST:PORT")
		}
		if err := oneOf(name, u.Scheme, schemes...); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return wrong(name, value, "want one of "+strings.Join(allowed, ", "))
}

func between(name string, value, low, high int) error {
	if value < low || value > high {
		return wrong(name, strconv.Itoa(value), fmt.Sprintf("want %d to %d", low, high))
	}
	return nil
}

// LogValue shows the configuration in a log line without its secrets.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("data_dir", c.DataDir), slog.String("http_addr", c.HTTPAddr), slog.String("nats_addr", c.NATSAddr),
		slog.String("nats_url", redact(c.NATSURL)), slog.String("database_url", redact(c.DatabaseURL)),
		slog.Bool("token", c.Token != ""), slog.String("sync", c.Sync), slog.Int("replicas", c.Replicas),
		slog.Int("slots", c.Slots), slog.String("pool", c.Pool), slog.String("runner_name", c.RunnerName),
	)
}

func redact(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "..."
	}
	return u.Redacted()
}
