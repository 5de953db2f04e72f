package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/authority"
)

// ErrBadCertificate is returned when a file holds no certificate of a host.
var ErrBadCertificate = errors.New("not a certificate of a host")

// tlsConfig is how the API's certificate is checked; nil: as the system does.
func (c Config) tlsConfig() (t *tls.Config, err error) {
	if c.CAFile == "" && c.ServerName == "" {
		return nil, nil
	}
	t = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		t.RootCAs, err = authority.Pool(c.CAFile)
	}
	return t, err
}

// NameIn gives a host's name, or address, that the first certificate of a PEM file is for.
func NameIn(certFile string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(certFile))
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", fmt.Errorf("certificate %s: %w", certFile, ErrBadCertificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("certificate %s: %w", certFile, err)
	}
	switch {
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0], nil
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String(), nil
	}
	return "", fmt.Errorf("certificate %s names no host: %w", certFile, ErrBadCertificate)
}
