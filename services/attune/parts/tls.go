package parts

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is a certificate in files, which may be renewed while they are in use.
type certificate struct {
	cert, key string

	mu   sync.Mutex // guards the fields below
	at   time.Time  // when the file was changed that pair is of
	pair *tls.Certificate
}

// serverTLS gives what the API shows to its clients, or nil without a certificate. Renewed files are taken in by
// themselves; while they cannot be read the certificate before goes on being shown.
func serverTLS(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	c := &certificate{cert: cert, key: key}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate of the API: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current()
	}}, nil
}

func (c *certificate) current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if info, err := os.Stat(c.cert); err == nil && !info.ModTime().Equal(c.at) {
		_ = c.load() // between the writing of both files they do not fit; the next handshake looks again
	}
	return c.pair, nil
}

func (c *certificate) load() error {
	info, err := os.Stat(c.cert)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.at, c.pair = info.ModTime(), &pair
	return nil
}
