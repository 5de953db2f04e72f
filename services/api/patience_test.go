package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// TestRequestsWaitForTheSchedulerThatTakesOver has a client ask while nobody leads, and another scheduler start only
// once the client was refused.
func TestRequestsWaitForTheSchedulerThatTakesOver(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *client.Client) error{
		"an execution that starts at once or not at all": func(ctx context.Context, c *client.Client) error {
			x, err := c.Run(ctx, wire.ExecutionRequest{Action: "gate.one"}, "key")
			if err == nil && (x.ID == "" || x.Status != streams.Requested) {
				return errors.New("it was not taken: " + string(x.Status))
			}
			return err
		},
		"how a queue stands": func(ctx context.Context, c *client.Client) error {
			_, err := c.Queue(ctx, "gate.one", nil, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newGate(t)
			f.withScheduler()() // it led, and has gone
			refused, answered := make(chan struct{}), make(chan error, 1)
			c := f.client(sync.OnceFunc(func() { close(refused) }))
			go func() { answered <- ask(t.Context(), c) }()
			select {
			case <-refused:
			case err := <-answered:
				t.Fatalf("while nobody led: %v", err)
			}
			f.withScheduler()
			if err := <-answered; err != nil {
				t.Error(err)
			}
		})
	}
}

// client connects to the service, with patience for a slow machine. It calls refused whenever it is to ask again later.
func (f *fixture) client(refused func()) *client.Client {
	f.t.Helper()
	c, err := client.New(client.Config{
		URL: f.base, Token: token, LaterPatience: patience,
		Later: func(p *client.Problem, _ time.Duration) {
			if p.Code != wire.CodeSchedulerDown {
				f.t.Errorf("refused: %v", p)
			}
			refused()
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}
