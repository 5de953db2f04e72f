package natsserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/streams"
)

// Member says which server of which cluster a server is. All of them share one folder of identities, which
// MakeIdentities makes before the first of them starts.
type Member struct {
	Name       string   // unique in the cluster
	Addr       string   // host:port that the other servers connect to
	Routes     []string // such addresses of all servers
	Identities string   // folder of keys and credentials
}

// credsName is the file with the credentials of people, who may do everything in the account that Attune's streams
// are in; usersDir is the folder with those of everybody, as "NAME.creds".
const (
	credsName   = streams.UserPeople + credsEnding
	credsEnding = ".creds"
	usersDir    = "users"
)

// routePassword is the file with what one server shows another.
const routePassword = "route-password"

// MakeIdentities makes what the servers of a cluster share, where it is not there already: keys, credentials and
// the password by which they know each other. It gives the file with the credentials of clients.
func MakeIdentities(dir string) (credsFile string, err error) {
	if _, credsFile, err = makeIdentities(dir, dir); err != nil {
		return "", err
	}
	file := filepath.Join(dir, routePassword)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return credsFile, err
	}
	return credsFile, writeFile(file, []byte(rand.Text()))
}

// makeIdentities makes keys in one folder and the credentials of both accounts in another.
func makeIdentities(dir, creds string) (keys, string, error) {
	k, err := loadKeys(dir)
	if err != nil {
		return k, "", err
	}
	file := filepath.Join(creds, credsName)
	if err := k.writeUsers(filepath.Join(creds, usersDir)); err != nil {
		return k, "", err
	}
	if err := k.writeCreds(file, streams.UserPeople, k.app); err != nil {
		return k, "", err
	}
	return k, file, k.writeCreds(filepath.Join(creds, "system"+credsEnding), "system", k.system)
}

func (m Member) alone() bool { return m.Name == "" }

// configure makes a server a member of its cluster. No server joins without the password: a route reads and
// writes everything.
func (m Member) configure(opts *server.Options) error {
	if m.alone() {
		return nil
	}
	password, err := os.ReadFile(filepath.Join(m.Identities, routePassword))
	if err != nil {
		return fmt.Errorf("password among NATS servers: %w", err)
	}
	host, port, err := net.SplitHostPort(m.Addr)
	if err != nil {
		return fmt.Errorf("address among NATS servers %q: %w", m.Addr, err)
	}
	opts.ServerName = m.Name
	opts.Cluster = server.ClusterOpts{Name: "attune", Host: host, Username: "server", Password: string(password)}
	if opts.Cluster.Port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("address among NATS servers %q: %w", m.Addr, err)
	}
	for _, addr := range m.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: addr, User: url.UserPassword("server", string(password))})
	}
	return nil
}
