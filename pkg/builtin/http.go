package builtin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

type httpConfig struct {
	Pages    []page   `json:"pages"`
	Interval duration `json:"interval"`
	Timeout  duration `json:"timeout"`
	MaxBytes int64    `json:"max_bytes"`
	First    bool     `json:"report_first"`
}

// page is something to look at.
type page struct {
	URL           string            `json:"url"`
	Headers       map[string]string `json:"headers"`
	Authorization bool              `json:"authorization"` // send the secret HTTPPOLL_AUTHORIZATION
	Pointer       string            `json:"pointer"`       // JSON pointer to the part that counts; "": all
}

const (
	maxPages    = 1000
	pollsAtOnce = 16
	maxBody     = 128 << 10 // of what is put into an event
	minInterval = 100 * time.Millisecond
	pagesFile   = "pages.json"
)

// seen is what is known of a page. It is kept between starts.
type seen struct {
	Hash     string `json:"hash,omitempty"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Failing  bool   `json:"failing,omitempty"`
}

// pollHTTP reports pages, or parts of JSON documents, that are not what they were, and pages that begin to fail.
func pollHTTP(ctx context.Context, s *stage) error {
	c := httpConfig{Interval: duration(time.Minute), Timeout: duration(10 * time.Second), MaxBytes: 1 << 20}
	if err := s.config(&c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	p := &poller{httpConfig: c, stage: s, client: &http.Client{Timeout: time.Duration(c.Timeout)}, known: s.readPages()}
	defer p.client.CloseIdleConnections()
	s.say("looking at %d pages every %v", len(c.Pages), time.Duration(c.Interval))
	for {
		if err := p.round(ctx); err != nil {
			return err
		}
		pause := time.Duration(c.Interval)
		if !wait(ctx, pause+rand.N(pause/10+1)) { //nolint:gosec // so that many pollers do not come at once
			return context.Cause(ctx)
		}
	}
}

func (c httpConfig) check() error {
	switch {
	case len(c.Pages) == 0:
		return wrong("pages is empty: name what to look at, such as {url: https://example.com/status}")
	case len(c.Pages) > maxPages:
		return wrong("pages: %d, at most %d", len(c.Pages), maxPages)
	case time.Duration(c.Interval) < minInterval:
		return wrong("interval: %v, at least %v", time.Duration(c.Interval), minInterval)
	case c.MaxBytes < 1 || c.MaxBytes > 64<<20:
		return wrong("max_bytes: %d, want 1 to %d", c.MaxBytes, 64<<20)
	}
	for _, p := range c.Pages {
		u, err := url.Parse(p.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return wrong("pages: url %q is not http://HOST... or https://HOST...", p.URL)
		}
		if p.Pointer != "" && !strings.HasPrefix(p.Pointer, "/") {
			return wrong("pages: pointer %q does not begin with /", p.Pointer)
		}
	}
	return nil
}

type poller struct {
	httpConfig
	*stage
	client *http.Client
	known  map[string]seen // by key of the page; changed between rounds only
}

func (p page) key() string { return p.URL + "#" + p.Pointer }

// round looks at all pages, and keeps what it saw once every event of it was written.
func (p *poller) round(ctx context.Context) error {
	now := make([]seen, len(p.Pages))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pollsAtOnce)
	for i, one := range p.Pages {
		g.Go(func() (err error) {
			now[i], err = p.look(gctx, one, p.known[one.key()])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	known := map[string]seen{}
	for i, one := range p.Pages {
		known[one.key()] = now[i]
	}
	if maps.Equal(known, p.known) {
		return nil
	}
	p.known = known
	return p.writePages(known)
}

// answer is what a page is now.
type answer struct {
	seen
	status int
	same   bool // the server says that nothing has changed
	body   []byte
}

// look reports one page when it has changed. Its error is one of writing.
func (p *poller) look(ctx context.Context, one page, was seen) (seen, error) {
	a, err := p.get(ctx, one, was)
	switch {
	case ctx.Err() != nil:
		return was, context.Cause(ctx)
	case err != nil:
		return p.failed(one, was, err)
	case a.same || a.Hash == was.Hash:
		if was.Hash == "" {
			was.Hash = a.Hash
		}
		was.ETag, was.Modified, was.Failing = a.ETag, a.Modified, false
		return was, nil
	case was.Hash == "" && !p.First:
		return a.seen, nil
	}
	payload := map[string]any{"url": one.URL, "status": a.status, "hash": a.Hash, "previous_hash": was.Hash}
	if one.Pointer != "" {
		payload["pointer"] = one.Pointer
	}
	if len(a.body) <= maxBody {
		payload["content"] = jsonOr(a.body)
	}
	return a.seen, p.emit(found{Trigger: "changed", Payload: payload})
}

// failed reports a page that could be read before.
func (p *poller) failed(one page, was seen, why error) (seen, error) {
	if was.Failing {
		return was, nil
	}
	was.Failing = true
	p.say("%s: %v", one.URL, why)
	return was, p.emit(found{Trigger: "failed", Payload: map[string]any{"url": one.URL, "error": why.Error()}})
}

// get reads a page, unless the server says that it is what it was.
func (p *poller) get(ctx context.Context, one page, was seen) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, one.URL, nil)
	if err != nil {
		return answer{}, err
	}
	p.prepare(req, one, was)
	res, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	a := answer{seen: seen{ETag: res.Header.Get("ETag"), Modified: res.Header.Get("Last-Modified")}, status: res.StatusCode}
	if res.StatusCode == http.StatusNotModified {
		a.same, a.seen = true, was
		return a, nil
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return a, fmt.Errorf("status %d", res.StatusCode)
	}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, p.MaxBytes+1)); err != nil {
		return a, err
	}
	if int64(len(a.body)) > p.MaxBytes {
		return a, fmt.Errorf("larger than max_bytes, %d", p.MaxBytes)
	}
	if one.Pointer != "" {
		if a.body, err = pointed(a.body, one.Pointer); err != nil {
			return a, err
		}
	}
	sum := sha256.Sum256(a.body)
	a.Hash = hex.EncodeToString(sum[:])
	return a, nil
}

func (p *poller) prepare(req *http.Request, one page, was seen) {
	req.Header.Set("User-Agent", "attune-sensor-httppoll")
	for name, value := range one.Headers {
		req.Header.Set(name, value)
	}
	if value := p.Secrets["HTTPPOLL_AUTHORIZATION"]; one.Authorization && value != "" {
		req.Header.Set("Authorization", value)
	}
	if was.Hash != "" && was.ETag != "" {
		req.Header.Set("If-None-Match", was.ETag)
	}
	if was.Hash != "" && was.Modified != "" {
		req.Header.Set("If-Modified-Since", was.Modified)
	}
}

// pointed gives the part of a document that a JSON pointer (RFC 6901) names, written in one way.
func pointed(text []byte, pointer string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("it is not JSON")
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for step := range strings.SplitSeq(pointer[1:], "/") {
		step = unescape.Replace(step)
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return []byte("null"), nil
			}
			v = at[i]
		default:
			return []byte("null"), nil
		}
	}
	return json.Marshal(v)
}

// readPages gives what the start before has seen.
func (s *stage) readPages() map[string]seen {
	text, err := os.ReadFile(filepath.Join(s.dir, pagesFile))
	known := map[string]seen{}
	if err != nil || json.Unmarshal(text, &known) != nil {
		return map[string]seen{} // it begins anew
	}
	return known
}

// writePages keeps what was seen, in the folder that a sensor has between its starts.
func (s *stage) writePages(known map[string]seen) error {
	file := filepath.Join(s.dir, pagesFile)
	text, err := json.Marshal(known)
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("keep what was seen: %w", err)
	}
	return nil
}
