// Package client talks to Attune's API over HTTP.
//
// Errors of the API arrive as *Problem, with the code and the fields that are wrong. Requests that may be
// repeated are, for a bounded time, while the API cannot be reached or says "later". What is followed (state changes, logs)
// resumes after a broken connection where it stopped: nothing is missed and nothing comes twice.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// maxBody bounds an answer that is read whole.
const maxBody = 64 << 20

// ErrUnreachable is returned when no connection to the API can be made, or it breaks before an answer.
var ErrUnreachable = errors.New("the API cannot be reached")

// ErrBadAnswer is returned when what answers is not Attune's API, or not a version that is understood.
var ErrBadAnswer = errors.New("not an answer of Attune's API")

// Config says where the API is.
type Config struct {
	URL            string        // http://host:port, without /api/v1
	Token          string        // sent as a bearer token
	CAFile         string        // PEM file with certificates that the API's is checked by; "": the system's
	ServerName     string        // that the API's certificate is for; "": the host of the URL
	Agent          string        // sent as User-Agent
	Patience       time.Duration // 0: Patience; negative: no repeating at all
	LaterPatience  time.Duration // 0: LaterPatience; negative: a refusal is one, even if it is for now
	FollowPatience time.Duration // 0: FollowPatience; negative: no resuming

	// Later, if it is not nil, is told of each refusal after which a request is made again, and how long the request
	// will have taken by then. It may be called by several goroutines at once.
	Later func(refusal *Problem, waited time.Duration)
}

// Client talks to one API. It may be used by several goroutines at once.
type Client struct {
	base   *url.URL
	config Config
	http   *http.Client
}

// New makes a client. It does not connect.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("API address %q: want http://HOST:PORT or https://HOST:PORT", c.URL)
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	if c.Patience < 0 {
		c.LaterPatience = c.Patience
	}
	c.Patience = orDefault(c.Patience, Patience)
	c.LaterPatience = orDefault(c.LaterPatience, LaterPatience)
	c.FollowPatience = orDefault(c.FollowPatience, FollowPatience)
	return &Client{base: base, config: c, http: &http.Client{Transport: newTransport(tlsConfig), CheckRedirect: noRedirect}}, nil
}

// URL is the address of the API.
func (c *Client) URL() string { return c.base.String() }

// Close closes the connections that are kept open for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func orDefault(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

func newTransport(check *tls.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if check != nil {
		t.TLSClientConfig = check
	}
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	return t
}

// noRedirect keeps the token from following an answer to another host.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// request is one question to the API.
type request struct {
	method string
	path   string // below the base, already escaped
	query  url.Values
	header http.Header
	body   []byte
	safe   bool // may be repeated though its method is not idempotent
}

// once asks once. The caller closes the body of a success; any other answer becomes an error.
func (c *Client) once(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, r, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, readProblem(r, resp)
	}
	return resp, nil
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	maps.Copy(req.Header, r.header)
	if c.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	req.Header.Set("User-Agent", c.config.Agent)
	return req, nil
}

func (c *Client) unreachable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, context.Cause(ctx))
	}
	if u, ok := errors.AsType[*url.Error](err); ok { // it repeats method and address
		err = u.Err
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
}

// call asks, repeating while the API cannot be reached or says "later", and decodes the answer's JSON.
func call[T any](ctx context.Context, c *Client, r request) (T, error) {
	between := c.pauses(growing())
	return backoff.Retry(ctx, func() (T, error) {
		out, err := callOnce[T](ctx, c, r)
		return out, between.judge(r, err)
	}, backoff.WithBackOff(between), backoff.WithMaxElapsedTime(0))
}

func callOnce[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	resp, err := c.once(ctx, r)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return out, c.unreachable(ctx, r, err)
	}
	if resp.StatusCode == http.StatusNoContent || len(data) == 0 {
		return out, nil
	}
	if err := decode(data, &out); err != nil {
		return out, fmt.Errorf("%s %s: %w: %w", r.method, r.path, ErrBadAnswer, err)
	}
	return out, nil
}

// decode reads JSON and keeps numbers of any size as they are written.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// get asks for a thing.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, request{method: http.MethodGet, path: path, query: query})
}

// withJSON gives a request a body.
func withJSON(r request, body any) (request, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	r.body = data
	r.header.Set("Content-Type", "application/json")
	return r, nil
}

// path joins parts below /api/v1, escaping what users chose.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}
