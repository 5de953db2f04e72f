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

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/streams"
)

// Client fetches secrets for a runner, or for a host of sensors. Its curve key lives as long as it does.
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

// PublicKey is what the runner's heartbeat, or a sensor's state, must name, so that values are sealed to this client.
func (c *Client) PublicKey() string { return c.public }

// Wanted are the secrets that somebody asks for: by the names that an action or a sensor declares (NAME, user/NAME),
// and by what parameters and the configuration refer to.
type Wanted struct {
	Declared   []string
	Optional   []string // declared too; those that do not exist are left out
	Parameters []marker.Ref
	Config     []marker.Ref
}

// Empty tells whether nothing is asked for.
func (w Wanted) Empty() bool {
	return len(w.Declared)+len(w.Optional)+len(w.Parameters)+len(w.Config) == 0
}

// Given are the values of what is wanted.
type Given struct {
	Declared   map[marker.Ref]string
	Parameters map[marker.Ref]string
	Config     map[marker.Ref]string
}

// Fetch gives the values of secrets for an execution that this runner runs at that attempt. What is wanted is asked
// for anew before each try: a configuration may change in between. It returns
// ErrRefused when the execution may not have them, and ErrUnavailable when nobody could answer in time.
func (c *Client) Fetch(ctx context.Context, execution string, attempt int, wanted func() Wanted) (Given, error) {
	return c.fetch(ctx, request{Execution: execution, Attempt: attempt}, wanted)
}

// FetchForSensor is Fetch for a sensor ("pack.name") that this host runs.
func (c *Client) FetchForSensor(ctx context.Context, sensor string, wanted Wanted) (Given, error) {
	return c.fetch(ctx, request{Sensor: sensor}, func() Wanted { return wanted })
}

func (c *Client) fetch(ctx context.Context, q request, wanted func() Wanted) (Given, error) {
	q.Version = wireVersion
	attemptOnce := func() (Given, error) {
		w := wanted()
		if w.Empty() {
			return Given{}, nil
		}
		q.Names, q.Optional, q.Parameters, q.Config = w.Declared, w.Optional, w.Parameters, w.Config
		given, err := c.ask(ctx, q)
		if errors.Is(err, ErrRefused) {
			err = backoff.Permanent(err)
		}
		return given, err
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 2*time.Second
	given, err := backoff.Retry(ctx, attemptOnce, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(c.Patience))
	switch {
	case errors.Is(err, ErrRefused):
		return Given{}, fmt.Errorf("secrets of %s: %w", q.about(), err)
	case err != nil:
		return Given{}, fmt.Errorf("secrets of %s: %w: %w", q.about(), ErrUnavailable, err)
	}
	return given, nil
}

func (c *Client) ask(ctx context.Context, q request) (given Given, err error) {
	q.Nonce = nuid.Next()
	data, err := json.Marshal(q)
	if err != nil {
		return given, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.nc.RequestWithContext(ctx, streams.RPCSecret, data)
	if err != nil {
		return given, fmt.Errorf("ask %s: %w", streams.RPCSecret, err)
	}
	return c.unseal(q, m.Data)
}

func (c *Client) unseal(q request, data []byte) (given Given, err error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil || a.Version != wireVersion {
		return given, fmt.Errorf("answer of version %d: %w", a.Version, errors.Join(ErrRefused, err))
	}
	if a.Retry {
		return given, fmt.Errorf("%s: %w", a.Refused, errTransient)
	}
	if a.Refused != "" {
		return given, fmt.Errorf("%s: %w", a.Refused, ErrRefused)
	}
	text, err := c.pair.Open(a.Sealed, a.Sender)
	if err != nil {
		return given, fmt.Errorf("answer is not sealed to this runner: %w", ErrRefused)
	}
	defer clear(text)
	var g grant
	if err := json.Unmarshal(text, &g); err != nil {
		return given, fmt.Errorf("answer is not a grant: %w", ErrRefused) // without the cause, which may quote a value
	}
	if !q.answers(g) {
		return given, fmt.Errorf("answer is to another question: %w", ErrRefused)
	}
	return Given{Declared: g.Values, Parameters: g.Parameters, Config: g.Config}, nil
}
