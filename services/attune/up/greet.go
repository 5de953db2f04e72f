package up

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/services/attune/local"
)

// contextName is how the nats command line refers to the embedded server.
const contextName = "attune"

// greet says where things are and what to do next.
func (m *machine) greet(took time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nAttune %s is ready after %.1f s.\n\n", m.version, took.Seconds())
	fmt.Fprintf(&b, "  API    %s  (documentation at /docs)\n", m.apiURL())
	fmt.Fprintf(&b, "  NATS   %s  %s\n", m.cfg.NATSURL, m.natsHint())
	fmt.Fprintf(&b, "  Data   %s\n", m.folder.Dir)
	fmt.Fprintf(&b, "  Login  commands on this machine need none; the token for others is in %s\n", filepath.Join(m.folder.Dir, local.FileName))
	fmt.Fprintf(&b, "\nFrom a second terminal:\n\n")
	if m.folder.Dir != config.DefaultDataDir() {
		fmt.Fprintf(&b, "  export ATTUNE_DATA_DIR=%s\n", quote(m.folder.Dir))
	}
	for _, next := range []string{"run core.echo message=hi --follow", "execution list", "--help"} {
		fmt.Fprintf(&b, "  %s %s\n", ourselves(), next)
	}
	fmt.Fprintf(&b, "\nCtrl-C stops it.\n\n")
	_, _ = fmt.Fprint(m.out, b.String()) // nobody may be reading
}

// natsHint saves how to connect to the embedded server for the nats command line, and says how to use it.
func (m *machine) natsHint() string {
	if m.nats == nil {
		return ""
	}
	if _, err := natsserver.SaveContext(contextName, m.nats.URL(), m.nats.CredsFile(), m.cfg.NATSCA); err != nil {
		m.log.WarnContext(context.Background(), "context for the nats command not saved", slog.Any("error", err))
		return "(credentials: " + m.nats.CredsFile() + ")"
	}
	return "(nats --context " + contextName + " ...)"
}

// ourselves is how this program was called: `go run` leaves nothing behind that a second terminal could call.
func ourselves() string {
	self, err := os.Executable()
	if err == nil && strings.Contains(self, string(filepath.Separator)+"go-build") {
		return "go run ./services/attune"
	}
	return "attune"
}

func quote(path string) string {
	if strings.ContainsAny(path, " \t'\"$\\&;|<>()*?") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// apiURL is where clients on this machine find the API.
func (m *machine) apiURL() string {
	addr := m.listener.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if m.cfg.HTTPCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}
