package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// The streams of a process.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Names lists the streams.
func Names() []string { return []string{Stdout, Stderr} }

var (
	// ErrBadRequest is returned for a stream or offset that cannot exist.
	ErrBadRequest = errors.New("no such part of a log")
	// ErrNotStored is returned by Close when the log could not be stored in time.
	ErrNotStored = errors.New("log is not stored")
	// ErrNoManifest is returned when nothing of an execution's log is stored, or not yet.
	ErrNoManifest = errors.New("no stored log")
)

// Config says where logs are kept. The zero durations mean the defaults.
type Config struct {
	Bus      *bus.Bus
	Logger   *slog.Logger
	Patience time.Duration // how long a process may be blocked by a store that does not answer; 5 s
	Flush    time.Duration // how long output is gathered before it is published; 10 ms
	Dir      string        // folder for files without names, which hold the ends of long outputs; "": the system's
}

const (
	defaultPatience = 5 * time.Second
	defaultFlush    = 10 * time.Millisecond
)

func (c Config) withDefaults() Config {
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Flush == 0 {
		c.Flush = defaultFlush
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Store is where logs are kept. It may be used by many goroutines. It has nothing to be closed: the only state it holds
// is what those who follow a log share, and which small objects are on their way.
type Store struct {
	Config
	hubs    hubs
	objects jetstream.ObjectStore
	bucket  jetstream.Stream // of the objects
	small   *bus.Group       // small objects
	live    jetstream.Stream
	facts   *execution.Facts
}

// Open finds the stream and the bucket of logs.
func Open(ctx context.Context, c Config) (*Store, error) {
	objects, err := c.Bus.JS.ObjectStore(ctx, streams.ObjectsLogs)
	if err != nil {
		return nil, fmt.Errorf("open object bucket %s: %w", streams.ObjectsLogs, err)
	}
	bucket, err := c.Bus.JS.Stream(ctx, "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		return nil, fmt.Errorf("open object bucket %s: %w", streams.ObjectsLogs, err)
	}
	live, err := c.Bus.JS.Stream(ctx, streams.Logs)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streams.Logs, err)
	}
	c = c.withDefaults()
	return &Store{
		Config: c, objects: objects, bucket: bucket, small: c.Bus.NewGroup(), live: live, facts: execution.NewFacts(c.Bus.JS),
		hubs: hubs{by: map[string]*hub{}},
	}, nil
}

// subject checks the names and gives the subject of a stream's output.
func subject(execution, stream string) (string, error) {
	if !slices.Contains(Names(), stream) {
		return "", fmt.Errorf("stream %.40q, want one of %v: %w", stream, Names(), ErrBadRequest)
	}
	s, err := streams.LogSubject(execution, stream)
	if err != nil {
		return "", fmt.Errorf("log of execution %.60q: %w: %w", execution, ErrBadRequest, err)
	}
	return s, nil
}
