package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/nats-io/nuid"

	"github.com/attune/attune/streams"
)

// Client fetches secrets for a runner. Its curve key lives as long as it does.
type Client struct {
	nc     *nats.Conn
	pair   nkeys.KeyPair
	public string

	Patience time.Duration // how long Fetch goes on trying when nobody can answer; set before use
}

const (
	defaultPatience = 30 * time.Second
	requestTimeout  = 5 * time.Second
)

// NewClient makes a client with a fresh curve key.
func NewClient(nc *nats.Conn) (*Client, error) {
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		return nil, fmt.Errorf("curve key for secrets: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("curve key for secrets: %w", err)
	}
	return &Client{nc: nc, pair: pair, public: public, Patience: defaultPatience}, nil
}

// PublicKey is what the runner's heartbeat must name, so that values are sealed to this client.
func (c *Client) PublicKey() string { return c.public }

// Fetch gives the values of secrets for an execution that this runner runs at that attempt. It returns
// ErrRefused when the execution may not have them, and ErrUnavailable when nobody could answer in time.
func (c *Client) Fetch(ctx context.Context, execution string, attempt int, names []string) (map[string]string, error) {
	attemptOnce := func() (map[string]string, error) {
		values, err := c.ask(ctx, execution, attempt, names)
		if errors.Is(err, ErrRefused) {
			err = backoff.Permanent(err)
		}
		return values, err
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 2*time.Second
	values, err := backoff.Retry(ctx, attemptOnce, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(c.Patience))
	switch {
	case errors.Is(err, ErrRefused):
		return nil, fmt.Errorf("secrets of execution %s: %w", execution, err)
	case err != nil:
		return nil, fmt.Errorf("secrets of execution %s: %w: %w", execution, ErrUnavailable, err)
	}
	return values, nil
}

func (c *Client) ask(ctx context.Context, execution string, attempt int, names []string) (map[string]string, error) {
	q := request{Version: wireVersion, Execution: execution, Attempt: attempt, Names: names, Nonce: nuid.Next()}
	data, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.nc.RequestWithContext(ctx, streams.RPCSecret, data)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", streams.RPCSecret, err)
	}
	return c.unseal(q, m.Data)
}

func (c *Client) unseal(q request, data []byte) (map[string]string, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil || a.Version != wireVersion {
		return nil, fmt.Errorf("answer of version %d: %w", a.Version, errors.Join(ErrRefused, err))
	}
	if a.Retry {
		return nil, fmt.Errorf("%s: %w", a.Refused, errTransient)
	}
	if a.Refused != "" {
		return nil, fmt.Errorf("%s: %w", a.Refused, ErrRefused)
	}
	text, err := c.pair.Open(a.Sealed, a.Sender)
	if err != nil {
		return nil, fmt.Errorf("answer is not sealed to this runner: %w", ErrRefused)
	}
	defer clear(text)
	var g grant
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, fmt.Errorf("answer is not a grant: %w", ErrRefused) // without the cause, which may quote a value
	}
	if g.Execution != q.Execution || g.Attempt != q.Attempt || g.Nonce != q.Nonce {
		return nil, fmt.Errorf("answer is to another question: %w", ErrRefused)
	}
	return g.Values, nil
}
