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
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Config is the configuration. Every field is ATTUNE_ and its name in the environment.
type Config struct {
	DataDir     string `envconfig:"DATA_DIR" desc:"folder of everything that is kept"`
	HTTPAddr    string `envconfig:"HTTP_ADDR" default:"127.0.0.1:8080" desc:"address of the API"`
	NATSAddr    string `envconfig:"NATS_ADDR" default:"127.0.0.1:4222" desc:"address of the embedded NATS server"`
	NATSURL     string `envconfig:"NATS_URL" desc:"use these NATS servers instead of the embedded one"`
	NATSCreds   string `envconfig:"NATS_CREDS" desc:"credentials for NATS_URL: a file, or a folder with one for each service, NAME.creds"`
	NATSCA      string `envconfig:"NATS_CA" desc:"file with the certificates of the authorities that NATS servers are checked by; the system's when empty"`
	NATSCert    string `envconfig:"NATS_CERT" desc:"certificate file of the embedded NATS server: clients must use TLS then"`
	NATSKey     string `envconfig:"NATS_KEY" desc:"key file of NATS_CERT"`
	DatabaseURL string `envconfig:"DATABASE_URL" desc:"use this PostgreSQL instead of a private one"`
	Token       string `envconfig:"TOKEN" desc:"API token; made on the first start when empty"`
	APIURL      string `envconfig:"API_URL" desc:"API that the client commands talk to"`
	RequestRate int    `envconfig:"REQUEST_RATE" default:"200" desc:"requests a second that one API token or user may make; 0: any number"`
	HTTPCert    string `envconfig:"HTTP_CERT" desc:"certificate file of the API, which then speaks HTTPS"`
	HTTPKey     string `envconfig:"HTTP_KEY" desc:"key file of HTTP_CERT"`
	APICA       string `envconfig:"API_CA" desc:"file with the certificates of the authorities that the API is checked by; the system's when empty"`
	LogLevel    string `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	LogFormat   string `envconfig:"LOG_FORMAT" default:"auto" desc:"auto, text or json"`
	Sync        string `envconfig:"SYNC" default:"always" desc:"always: disk before acknowledge; interval: faster, loses seconds at a power failure"`
	Replicas    int    `envconfig:"REPLICAS" default:"1" desc:"copies of every stream"`
	Slots       int    `envconfig:"SLOTS" desc:"executions that a runner runs at once; 0: sixteen per processor"`
	Pool        string `envconfig:"POOL" default:"default" desc:"pool that a runner serves"`
	Labels      Labels `envconfig:"LABELS" desc:"labels of this runner: zone=eu,gpu"`
	RunnerName  string `envconfig:"RUNNER_NAME" desc:"name of this runner; the host's when empty"`
	RuntimePath string `envconfig:"RUNTIME_PATH" desc:"more folders with interpreters, or patterns of such, divided by colons"`
	PacksDir    string `envconfig:"PACKS_DIR" desc:"folder where runners and sensor hosts of a machine keep packs ready; one of each when empty"`

	PipIndexURL     string        `envconfig:"PIP_INDEX_URL" desc:"index that Python packages come from; PyPI when empty"`
	PipFindLinks    string        `envconfig:"PIP_FIND_LINKS" desc:"folder or page with wheels, besides the index"`
	PipAllowSource  bool          `envconfig:"PIP_ALLOW_SOURCE" desc:"let pip build packages from source, which runs their code"`
	NPMRegistry     string        `envconfig:"NPM_REGISTRY" desc:"registry that Node packages come from; npm's when empty"`
	NPMAllowScripts bool          `envconfig:"NPM_ALLOW_SCRIPTS" desc:"let npm run the scripts of packages"`
	BuildTimeout    time.Duration `envconfig:"BUILD_TIMEOUT" default:"10m" desc:"how long building a pack's environment may take"`
	BuildMaxBytes   int64         `envconfig:"BUILD_MAX_BYTES" default:"2147483648" desc:"how many bytes of the disk it may take"`
	BuildEnv        []string      `envconfig:"BUILD_ENV" desc:"names of variables of this process that builds see, divided by commas: HTTPS_PROXY,SSL_CERT_FILE"`

	LogMaxBytes      int64  `envconfig:"LOG_MAX_BYTES" default:"10485760" desc:"how many bytes of each output stream of an execution are kept, where its action does not say"`
	LogMaxTotalBytes int64  `envconfig:"LOG_MAX_TOTAL_BYTES" default:"20971520" desc:"how many of both together"`
	LogSegmentBytes  int64  `envconfig:"LOG_SEGMENT_BYTES" default:"4194304" desc:"bytes of output in one stored segment"`
	LogKeep          string `envconfig:"LOG_KEEP" default:"head" desc:"head: of a stream over its limit the beginning is kept; ends: the first and the last half of the limit"`
	LogForward       string `envconfig:"LOG_FORWARD" desc:"where the output of executions is forwarded to: file:///FOLDER, otlp+http://HOST:PORT or otlp+https://HOST:PORT"`

	LogForwardHeaders     string `envconfig:"LOG_FORWARD_HEADERS" desc:"headers that its receiver asks for: NAME=VALUE,NAME2=VALUE2, values percent-encoded"`
	LogForwardHeadersFile string `envconfig:"LOG_FORWARD_HEADERS_FILE" desc:"file with them, read anew for every request"`
	LogForwardCA          string `envconfig:"LOG_FORWARD_CA" desc:"file with the certificates of the authorities that the receiver is checked by; the system's when empty"`

	RuntimesDir string        `envconfig:"RUNTIMES_DIR" desc:"folder with definitions of further runtimes, NAME.yaml"`
	Grace       time.Duration `envconfig:"GRACE" default:"10s" desc:"between TERM and KILL for an action"`
	Drain       time.Duration `envconfig:"DRAIN" default:"30s" desc:"how long a stop waits for running executions"`
	SensorRate  int           `envconfig:"SENSOR_RATE" default:"1000" desc:"events a second that one sensor may publish; beyond it waits"`

	LogRetentionAge     Age           `envconfig:"LOG_RETENTION_AGE" default:"30d" desc:"how long after its end an execution's log is kept, such as 30d or 12h; 0: for ever"`
	LogRetentionCount   int64         `envconfig:"LOG_RETENTION_COUNT" desc:"how many logs are kept, the newest; 0: any number"`
	LogRetentionBytes   Size          `envconfig:"LOG_RETENTION_BYTES" default:"10GiB" desc:"how much the logs that are kept may take, such as 10GiB; 0: any size"`
	HistoryRetentionAge Age           `envconfig:"HISTORY_RETENTION_AGE" default:"365d" desc:"how long executions and events are known, at least as long as their logs; 0: for ever"`
	RetentionEvery      time.Duration `envconfig:"RETENTION_EVERY" default:"1h" desc:"how often what is not kept is removed"`

	Aging time.Duration `envconfig:"PRIORITY_AGING" default:"10m" desc:"after which a waiting execution moves up one priority; 0: never"`

	WarmMemory Size          `envconfig:"WARM_MEMORY" default:"256MiB" desc:"what processes that wait for executions may take on a runner, beyond which none waits that its action does not declare; 0: none does"`
	WarmAge    time.Duration `envconfig:"WARM_AGE" default:"10m" desc:"how long such a process waits before another takes its place"`

	Isolation      string `envconfig:"ISOLATION" default:"default" desc:"default: actions reach nothing of Attune, of each other or of its user; none: they may do whatever Attune may"`
	IsolationRead  string `envconfig:"ISOLATION_READ" desc:"more files and folders that actions may read, divided by colons"`
	IsolationWrite string `envconfig:"ISOLATION_WRITE" desc:"files and folders that actions may change, divided by colons"`
	ActionUIDs     string `envconfig:"ACTION_UIDS" default:"2000000-2065535" desc:"where Attune is root: user ids, each for one running action; none: actions keep root's"`

	OIDCIssuer       string   `envconfig:"OIDC_ISSUER" desc:"OpenID Connect service that proves users"`
	OIDCClientID     string   `envconfig:"OIDC_CLIENT_ID" desc:"what Attune is called there"`
	OIDCClientSecret string   `envconfig:"OIDC_CLIENT_SECRET" desc:"its secret there"`
	OIDCPublicURL    string   `envconfig:"OIDC_PUBLIC_URL" desc:"where browsers find the API: https://attune.example"`
	OIDCUserClaim    string   `envconfig:"OIDC_USER_CLAIM" default:"preferred_username" desc:"claim that names a user who comes for the first time"`
	OIDCGroupsClaim  string   `envconfig:"OIDC_GROUPS_CLAIM" default:"groups" desc:"claim that lists the groups of a user"`
	OIDCRoleTexts    []string `envconfig:"OIDC_ROLES" desc:"roles of groups, divided by commas: ops=operator,shop-devs=editor@shop"`

	PackIndex    string `envconfig:"PACK_INDEX" desc:"folder or address of the index that packs are installed from by name"`
	PackIndexKey string `envconfig:"PACK_INDEX_KEY" desc:"public keys, separated by commas, that may sign that index"`

	// These have no name but the one with the prefix: VAULT_ADDR alone is for Vault's own tools.
	SecretKeyFile     string `split_words:"true" desc:"file with the keys of secrets; keys/secrets.key in the data folder when empty"`
	VaultAddr         string `split_words:"true" desc:"Vault or OpenBao server whose Transit engine seals the keys of secrets: https://HOST:8200"`
	VaultTokenFile    string `split_words:"true" desc:"file with a token for it, read anew for every request"`
	VaultTransitMount string `split_words:"true" default:"transit" desc:"where the Transit engine is mounted"`
	VaultTransitKey   string `split_words:"true" default:"attune" desc:"name of the key in it"`
	VaultNamespace    string `split_words:"true" desc:"namespace of the engine; none when empty"`
	VaultCA           string `split_words:"true" desc:"certificates of who signed the server's; this machine's when empty"`

	CredentialsDir string `envconfig:"CREDENTIALS_DIRECTORY" desc:"folder with credentials of the service, of which attune-secrets-key holds the keys of secrets; systemd sets it"`

	ContainerArgs string `envconfig:"CONTAINER_ARGS" desc:"more arguments of podman run, divided by spaces"`
	RootfsDirs    string `envconfig:"ROOTFS_DIRS" desc:"folders below which actions may name root file systems of containers, divided by colons"`
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
		between("SENSOR_RATE", c.SensorRate, 1, 100_000), between("REQUEST_RATE", c.RequestRate, 0, 1_000_000),
	}
	if c.Aging < 0 {
		errs = append(errs, wrong("PRIORITY_AGING", c.Aging.String(), "want a time, or 0 for never"))
	}
	if c.VaultAddr != "" && c.VaultTokenFile == "" {
		errs = append(errs, wrong("VAULT_TOKEN_FILE", "", "it goes with VAULT_ADDR, which is set"))
	}
	errs = append(errs, checkURL("VAULT_ADDR", c.VaultAddr, "https", "http"), c.checkBuilds(), c.checkLogs(), c.checkOIDC(), c.checkIsolation(), c.checkRetention(), c.checkWarm())
	if c.NATSCreds != "" && c.NATSURL == "" {
		errs = append(errs, wrong("NATS_CREDS", c.NATSCreds, "it goes with NATS_URL, which is empty"))
	}
	if (c.HTTPCert == "") != (c.HTTPKey == "") {
		errs = append(errs, wrong("HTTP_CERT", c.HTTPCert, "it goes with HTTP_KEY, and that with it"))
	}
	if (c.NATSCert == "") != (c.NATSKey == "") {
		errs = append(errs, wrong("NATS_CERT", c.NATSCert, "it goes with NATS_KEY, and that with it"))
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

// Labels say what a runner has that others may not. They are written as zone=eu,gpu; a label without a value has an
// empty one.
type Labels map[string]string

// labelName is what actions can ask for; see the schema of actions.
var labelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$`)

// ErrLabel is returned for a label that no action can ask for.
var ErrLabel = errors.New("not a label: want NAME or NAME=VALUE, NAME of letters, digits and _ . / -")

// Decode reads the labels; it makes Labels an envconfig.Decoder.
func (l *Labels) Decode(text string) error {
	*l = Labels{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "" && value == "":
			continue
		case !labelName.MatchString(name) || len(value) > maxLabelValue:
			return fmt.Errorf("%q: %w", part, ErrLabel)
		}
		(*l)[name] = value
	}
	return nil
}

// maxLabelValue bounds a label's value, in bytes.
const maxLabelValue = 100
