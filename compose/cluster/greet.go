package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/attune/attune/pkg/natsserver"
)

// contextName is how the nats command line refers to the cluster.
const contextName = "attune-cluster"

// greet says where things are and what to do next.
func (c *cluster) greet(took time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe cluster is ready after %.1f s.\n\n", took.Seconds())
	fmt.Fprintf(&b, "  API    http://%s\n", strings.Join(c.apis, "  http://"))
	fmt.Fprintf(&b, "  Token  %s\n", c.token)
	fmt.Fprintf(&b, "  NATS   %s  %s\n", c.natsURL(), c.natsHint())
	fmt.Fprintf(&b, "  Data   %s  (what each process says: log/NAME.log; its process id: run/NAME.pid)\n", c.dir)
	fmt.Fprintf(&b, "\nProcesses:\n\n")
	for _, one := range copies {
		fmt.Fprintf(&b, "  %d %s\n", one.n, one.service)
	}
	fmt.Fprintf(&b, "  %d nats, each with a copy of every stream\n", servers)
	fmt.Fprintf(&b, "\nFrom a second terminal:\n\n")
	fmt.Fprintf(&b, "  export ATTUNE_DATA_DIR=%q\n", c.dir)
	fmt.Fprintf(&b, "  %s run core.echo message=hi --follow\n", c.attune())
	fmt.Fprintf(&b, "  kill -KILL $(cat %q)   # it is started again, and nothing is lost\n", c.path("run", "scheduler-1.pid"))
	fmt.Fprintf(&b, "\nCtrl-C stops it, `go run ./compose/cluster down` too.\n\n")
	_, _ = fmt.Fprint(c.out, b.String()) // nobody may be reading
}

// attune is how to call the client commands.
func (c *cluster) attune() string {
	if strings.ContainsAny(c.binary, " \t'\"$\\&;|<>()*?") {
		return "go run ./services/attune"
	}
	return c.binary
}

// natsHint saves how to connect for the nats command line, and says how to use it.
func (c *cluster) natsHint() string {
	if _, err := natsserver.SaveContext(contextName, c.natsURL(), c.creds, ""); err != nil {
		c.log.WarnContext(context.Background(), "context for the nats command not saved", slog.Any("error", err))
		return "(credentials: " + c.creds + ")"
	}
	return "(nats --context " + contextName + " ...)"
}
