// Package bus connects a service to NATS.
//
// A connection made here reconnects for ever and says so in the log; replies come to it under its own name, so that
// a server may be told which replies belong to whom. What the server forbids arrives asynchronously and is
// logged as an error: a publish without permission looks like success to its caller.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// Config says where the servers are and who connects.
type Config struct {
	URL       string      // comma-separated
	CredsFile string      // "" where the server wants none
	CAFile    string      // certificates of the authorities that servers are checked by; "": the system's
	Name      string      // shown by the server, and begins the subjects of replies: "attune-scheduler"
	InProcess nats.Option // set by the process that embeds the server; nil otherwise
	Logger    *slog.Logger
	FailFast  bool // give up when no server answers the first time, instead of trying until ctx ends
}

// Bus is a connection and its JetStream context.
type Bus struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
}

// publishWindow bounds how many asynchronous publishes may wait for their acknowledgement.
const publishWindow = 4096

// requestTimeout bounds one request to the JetStream API.
const requestTimeout = 10 * time.Second

// Connect connects, waiting with backoff for servers that do not answer yet.
func Connect(ctx context.Context, c Config) (*Bus, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	nc, err := dial(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", c.URL, err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(publishWindow), jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Bus{Conn: nc, JS: js}, nil
}

func dial(ctx context.Context, c Config) (*nats.Conn, error) {
	opts := options(ctx, c)
	if c.FailFast {
		return nats.Connect(c.URL, opts...)
	}
	notify := func(err error, wait time.Duration) {
		c.Logger.WarnContext(ctx, "nats is unreachable", slog.String("url", c.URL), slog.Any("error", err), slog.Duration("retry_in", wait))
	}
	return backoff.Retry(ctx, func() (*nats.Conn, error) {
		nc, err := nats.Connect(c.URL, opts...)
		if errors.Is(err, nats.ErrAuthorization) {
			return nil, backoff.Permanent(err)
		}
		return nc, err
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
}

// inProcessPing is how often a connection within the process is tried out.
const inProcessPing = 2 * time.Minute

func options(ctx context.Context, c Config) []nats.Option {
	log := c.Logger
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.CustomInboxPrefix(streams.InboxPrefix(c.Name)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.PingInterval(10 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.WarnContext(ctx, "nats connection lost", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.InfoContext(ctx, "nats connection restored", slog.String("url", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if isLateAnswer(err) {
				log.WarnContext(ctx, "an answer was not let through: its request came over an earlier connection, or long ago")
				return
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.ErrorContext(ctx, "nats reported a fault", slog.String("subject", subject), slog.Any("error", err))
		}),
	}
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.InProcess != nil {
		// Such a connection ends with the server: nobody has to ask whether there still is one.
		opts = append(opts, c.InProcess, nats.PingInterval(inProcessPing))
	}
	return opts
}

// isLateAnswer tells whether what the server refused was an answer. A service may answer a request once, for a time, and
// over the connection that brought it: one that answers after the server was restarted may not, and nobody waits for it.
func isLateAnswer(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `Publish to "_INBOX.`)
}

// Close flushes what was published and closes the connection.
func (b *Bus) Close() {
	if err := b.Conn.FlushTimeout(time.Second); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.Conn.Opts.AsyncErrorCB(b.Conn, nil, fmt.Errorf("flush before close: %w", err))
	}
	b.Conn.Close()
}
