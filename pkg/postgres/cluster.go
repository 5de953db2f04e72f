package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// User is the role, and Database the database, that Attune works with.
const (
	User     = "attune"
	Database = "attune"
	port     = "5432" // names the socket's file; nothing listens on the network
)

// ErrVersion is returned when the data was made by a major version of PostgreSQL that is not installed.
var ErrVersion = errors.New("the data needs another major version of PostgreSQL")

// Cluster is a place with data, ready to be served.
type Cluster struct {
	Binaries Binaries

	owner    owner
	dir      string // holds data, run and password
	socket   string // folder of the socket
	password string
	volatile bool
}

// Prepare finds the binaries, makes the folder and, in an empty one, the data. A server that still runs on
// that data, left behind by a killed process, is stopped.
func Prepare(ctx context.Context, cfg Config) (*Cluster, error) {
	o, err := currentOwner()
	if err != nil {
		return nil, err
	}
	dir, err := locate(cfg.Dir, o)
	if err != nil {
		return nil, err
	}
	c := &Cluster{owner: o, dir: dir, volatile: cfg.Volatile}
	if c.Binaries, err = c.choose(ctx, cfg); err != nil {
		return nil, err
	}
	if err := c.furnish(); err != nil {
		return nil, err
	}
	if err := stopSurvivor(ctx, c.data()); err != nil {
		return nil, err
	}
	return c, c.initialise(ctx)
}

// locate gives the true path of the wanted folder, made and owned as it must be.
func locate(dir string, o owner) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	return place(filepath.Join(parent, filepath.Base(dir)), o, elsewhere)
}

// Dir is where the data truly is, which may be elsewhere than asked for.
func (c *Cluster) Dir() string { return c.dir }

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// choose takes the binaries that made the data, or the newest for new data.
func (c *Cluster) choose(ctx context.Context, cfg Config) (Binaries, error) {
	want, err := dataMajor(c.data())
	if err != nil {
		return Binaries{}, err
	}
	b, err := Installed(ctx, want)
	if err == nil {
		return b, nil
	}
	fetched, fetchErr := fetch(ctx, cfg, c.owner, want)
	switch {
	case fetchErr == nil:
		return fetched, nil
	case want != 0:
		return Binaries{}, fmt.Errorf("data of PostgreSQL %d in %s: %w (install postgresql-%d)", want, c.dir, ErrVersion, want)
	default:
		return Binaries{}, fmt.Errorf("%w, and obtaining one did not work: %w", err, fetchErr)
	}
}

// dataMajor is the major version that made the data, 0 when there is none yet.
func dataMajor(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("version of PostgreSQL's data: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("version of PostgreSQL's data: %w", err)
	}
	return major, nil
}

// furnish makes the folder of the socket and the password.
func (c *Cluster) furnish() error {
	c.socket = filepath.Join(c.dir, "run")
	if len(c.socketFile()) > maxSocketPath {
		return fmt.Errorf("socket of PostgreSQL %s: longer than %d bytes; choose a data folder with a shorter path", c.socketFile(), maxSocketPath)
	}
	if err := c.owner.mkdir(c.socket); err != nil {
		return err
	}
	return c.readPassword()
}

// maxSocketPath is what the kernel takes as the name of a socket, less the closing zero.
const maxSocketPath = 107

func (c *Cluster) socketFile() string { return filepath.Join(c.socket, ".s.PGSQL."+port) }

func (c *Cluster) passwordFile() string { return filepath.Join(c.dir, "password") }

func (c *Cluster) readPassword() error {
	text, err := os.ReadFile(c.passwordFile())
	if err == nil && len(text) > 0 {
		c.password = string(text)
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("password of PostgreSQL: %w", err)
	}
	c.password = rand.Text()
	if err := os.WriteFile(c.passwordFile(), []byte(c.password), 0o600); err != nil {
		return fmt.Errorf("password of PostgreSQL: %w", err)
	}
	return c.owner.give(c.passwordFile())
}

// initialise makes the data, under another name first: a crash in the middle leaves nothing half made.
func (c *Cluster) initialise(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(c.data(), "PG_VERSION")); err == nil {
		return nil
	}
	fresh := c.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("initialise PostgreSQL: %w", err)
	}
	args := []string{
		"-D", fresh, "-U", User, "-E", "UTF8", "--locale=C", "--pwfile", c.passwordFile(), "--no-instructions",
	}
	if c.volatile {
		args = append(args, "--no-sync", "-A", "trust")
	} else {
		args = append(args, "-A", "scram-sha-256")
	}
	if err := c.run(ctx, "initdb", args...); err != nil {
		return fmt.Errorf("initialise PostgreSQL in %s: %w", c.dir, err)
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		return fmt.Errorf("initialise PostgreSQL: %w", err)
	}
	return nil
}

// run runs one of the binaries to its end. Its error carries the end of what it wrote.
func (c *Cluster) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.Binaries.Dir, name), args...)
	cmd.Dir = c.dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner.credential(), Setsid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(out.String(), 5))
	}
	return nil
}

// environment is all that PostgreSQL's programs get.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// Command gives the server's program, its arguments first being itself, and the user that it must run as.
func (c *Cluster) Command() (argv []string, as *syscall.Credential) {
	argv = []string{filepath.Join(c.Binaries.Dir, "postgres"), "-D", c.data(), "-k", c.socket, "-p", port}
	for _, s := range c.settings() {
		argv = append(argv, "-c", s)
	}
	return argv, c.owner.credential()
}

// settings suit a small database with one client program. What was committed is on disk: Attune's history
// and definitions have no other copy.
func (c *Cluster) settings() []string {
	all := []string{
		"listen_addresses=", "unix_socket_permissions=0700",
		"max_connections=100", "shared_buffers=64MB", "wal_level=minimal", "max_wal_senders=0",
		"max_wal_size=512MB", "checkpoint_timeout=15min", "random_page_cost=1.1", "jit=off",
		"timezone=UTC", "log_timezone=UTC", "log_line_prefix=", "log_checkpoints=off", "log_min_error_statement=panic",
	}
	if c.volatile {
		return append(all, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
	}
	return append(all, "synchronous_commit=on")
}

// URL is how to connect to a database of this cluster.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(User, c.password), Path: "/" + database,
		RawQuery: url.Values{"host": {c.socket}, "port": {port}}.Encode(),
	}
	return u.String()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
