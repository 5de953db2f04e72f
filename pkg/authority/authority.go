// Package authority reads the certificates of authorities that others' certificates are checked by, and tells which hosts
// need none.
//
// It guarantees that a file which is named is what counts: one that cannot be read, or holds no certificate, is an
// error and never stands for the system's authorities.
package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNone is returned when a file holds no certificate.
var ErrNone = errors.New("it holds no certificate")

// Pool gives the authorities in a PEM file.
func Pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("certificates of authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificates of authorities: %s: %w", file, ErrNone)
	}
	return pool, nil
}
