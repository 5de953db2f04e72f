package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/attune/attune/pkg/authority"
)

// maxRedirects is how often a server may send us elsewhere.
const maxRedirects = 5

var hexSum = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// url opens an archive on a web server.
func (f Fetcher) url(r Request) (func(context.Context) (*Tree, error), error) {
	u, err := webAddress(r.Text)
	if err != nil {
		return nil, err
	}
	sum, ok := strings.CutPrefix(u.Fragment, "sha256=")
	switch {
	case u.Fragment != "" && !ok:
		return nil, fmt.Errorf("%.200q %w: after # stands sha256= and the sum", r.Text, ErrSource)
	case r.Ref != "" || r.AllowBranch:
		return nil, fmt.Errorf("%.200q %w of a ref: write git+%[1]s for a repository", r.Text, ErrSource)
	case sum != "" && r.SHA256 != "" && !strings.EqualFold(sum, r.SHA256):
		return nil, fmt.Errorf("%.200q %w: it names two different sums", r.Text, ErrSource)
	case sum == "":
		sum = r.SHA256
	}
	if !hexSum.MatchString(sum) {
		return nil, fmt.Errorf("%.200q %w without the sha256 of the archive: add #sha256=SUM or --sha256 SUM, with what "+
			"sha256sum says of the archive that you trust", r.Text, ErrSource)
	}
	u.Fragment = ""
	return func(ctx context.Context) (*Tree, error) {
		data, err := f.get(ctx, u, f.MaxBytes)
		if err != nil {
			return nil, err
		}
		return unpacked(u.String(), data, sum, r.Subdir, u.String()+"#sha256="+strings.ToLower(sum))
	}, nil
}

// webAddress reads an https address, or an http one of this machine. Passwords have no place in it: it is recorded.
func webAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%.200q %w: not an address", text, ErrSource)
	case u.Host == "" || u.Opaque != "" || strings.HasPrefix(u.Hostname(), "-"):
		return nil, fmt.Errorf("%.200q %w: not an address", text, ErrSource)
	case u.User != nil:
		return nil, fmt.Errorf("an address with a name or password %w: it would be recorded; fetch the archive yourself and name the file", ErrSource)
	}
	return u, secure(u)
}

// secure refuses addresses whose bytes others can change on their way.
func secure(u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("%.200q %w: want https", u.String(), ErrSource)
	case !authority.Local(u.Hostname()):
		return fmt.Errorf("%.200q %w: http is for this machine only; use https", u.String(), ErrSource)
	default:
		return nil
	}
}

// get fetches at most limit bytes.
func (f Fetcher) get(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", u, err)
	}
	client := f.client()
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // it repeats the address
		}
		return nil, fmt.Errorf("fetch %s: %w", u, err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, &statusError{url: u.String(), status: answer.StatusCode}
	case answer.ContentLength > limit:
		return nil, fmt.Errorf("fetch %s: it is over %d MiB", u, limit>>20)
	}
	data, err := io.ReadAll(&counted{r: io.LimitReader(answer.Body, limit+1), total: answer.ContentLength, tell: f.Progress})
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch %s: %w", u, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("fetch %s: it is over %d MiB", u, limit>>20)
	}
	return data, nil
}

// statusError is an answer that is no file.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("fetch %s: the server answers %d %s", e.url, e.status, http.StatusText(e.status))
}

// client gives one that keeps to the rules, whatever client it is made of.
func (f Fetcher) client() *http.Client {
	c := &http.Client{}
	if f.Client != nil {
		*c = *f.Client
	} else {
		transport, _ := http.DefaultTransport.(*http.Transport)
		own := transport.Clone()
		own.DisableCompression = true // the sum is of the bytes as they are stored
		own.ResponseHeaderTimeout = 30 * time.Second
		c.Transport = own
	}
	c.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirections", maxRedirects)
		}
		if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https" {
			return fmt.Errorf("sent from https to %s", next.URL)
		}
		return secure(next.URL)
	}
	return c
}

// counted tells how much was read.
type counted struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.done += int64(n); c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

// checkSum compares bytes with their SHA-256 in hexadecimal; "" is not compared.
func checkSum(data []byte, want string) error {
	if want == "" {
		return nil
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); !strings.EqualFold(got, want) {
		return fmt.Errorf("%w: it has %s, and %s was asked for", ErrSum, got, strings.ToLower(want))
	}
	return nil
}
