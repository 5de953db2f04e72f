package forward

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/attune/attune/pkg/authority"
)

var (
	// ErrHeaders is returned for headers that a request cannot have.
	ErrHeaders = errors.New("want NAME=VALUE,NAME2=VALUE2 with values percent-encoded")
	// ErrCA is returned for authorities that nobody is checked by.
	ErrCA = errors.New("authorities that receivers are checked by go with otlp+https://HOST only")
)

// Destination is where output goes to, and what its receiver asks for. It holds secrets.
type Destination struct {
	Target      string // file:///FOLDER, otlp+http://HOST:PORT or otlp+https://HOST:PORT
	Headers     string // of every request, see parseHeaders
	HeadersFile string // holds them instead; it is read for every request, so that an agent may replace it
	CAFile      string // who signed the receiver's certificate; "" is whom this machine trusts
}

// CheckTarget tells whether the address names a sink. The error does not repeat it: it may hold a password.
func (d Destination) CheckTarget() error {
	_, err := parse(d.Target)
	return err
}

// CheckHeaders tells whether the headers can be sent. The error repeats none of them. A file is not read.
func (d Destination) CheckHeaders() error {
	if d.Headers == "" && d.HeadersFile == "" {
		return nil
	}
	if d.Headers != "" && d.HeadersFile != "" {
		return fmt.Errorf("%w, here or in a file, not both", ErrHeaders)
	}
	if !strings.HasPrefix(d.scheme(), schemeOTLP) {
		return fmt.Errorf("%w; they go with otlp+http://HOST and otlp+https://HOST only", ErrHeaders)
	}
	if d.Headers == "" {
		return nil
	}
	_, err := d.parseHeaders(d.Headers)
	return err
}

// CheckCA tells whether a receiver would be checked by the authorities. The file is not read.
func (d Destination) CheckCA() error {
	if d.CAFile != "" && d.scheme() != schemeOTLP+"https" {
		return ErrCA
	}
	return nil
}

func (d Destination) scheme() string {
	u, err := url.Parse(d.Target)
	if err != nil {
		return ""
	}
	return u.Scheme
}

// hasPassword tells whether the address has one, which goes into the header that credentials stand in.
func (d Destination) hasPassword() bool {
	u, err := url.Parse(d.Target)
	return err == nil && u.User != nil
}

// tls is how the receiver is checked; nil: as the system does.
func (d Destination) tls() (*tls.Config, error) {
	if d.CAFile == "" {
		return nil, nil
	}
	roots, err := authority.Pool(d.CAFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}

// sink makes what takes the output.
func (d Destination) sink(t target) (Sink, error) {
	if err := errors.Join(d.CheckHeaders(), d.CheckCA()); err != nil {
		return nil, err
	}
	if t.folder != "" {
		return newFiles(t), nil
	}
	secure, err := d.tls()
	if err != nil {
		return nil, err
	}
	r := newReceiver(t, d.headers, secure)
	_, err = d.headers() // a mistake in the file is best found now
	return r, err
}
