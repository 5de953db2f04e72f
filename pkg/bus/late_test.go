package bus_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// The server lets the first answer through, as it would not let one through after it was restarted.
func TestALateAnswerIsNoFault(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	lines := make(lineWriter, 64)
	b, err := bus.Connect(t.Context(), bus.Config{
		URL: s.URL(), CredsFile: filepath.Join(s.UsersDir(), streams.UserScheduler+".creds"), Name: streams.ConnectionName(streams.UserScheduler),
		FailFast: true, Logger: slog.New(slog.NewTextHandler(lines, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, err = b.Conn.Subscribe(streams.RPCQueueStats, func(m *nats.Msg) {
		if err := errors.Join(m.Respond(nil), m.Respond(nil), b.Conn.Publish("attune.event.core.forged", nil)); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(err, b.Conn.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := natstest.Connect(t, s).Conn.Request(streams.RPCQueueStats, nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=WARN msg=\"an answer was not let through", "level=ERROR msg=\"nats reported a fault"} {
		if line := <-lines; !strings.Contains(line, want) {
			t.Errorf("it says %s, want %s", line, want)
		}
	}
}

// lineWriter gives what is logged, line by line.
type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}
