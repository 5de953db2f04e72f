package natsserver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/pkg/authority"
)

// TLS is what a server shows, and how servers of a cluster check each other. Without a certificate there is no TLS.
type TLS struct {
	Cert, Key string // PEM files
	CA        string // PEM file with the authorities that the other servers' certificates are checked by; "": the system's
}

// configure makes clients and the other servers of the cluster use TLS. Between servers both sides show a
// certificate.
func (t TLS) configure(opts *server.Options) error {
	if t.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return fmt.Errorf("TLS of the NATS server: %w", err)
	}
	roots, err := t.authorities()
	if err != nil {
		return fmt.Errorf("TLS of the NATS server: %w", err)
	}
	opts.TLS, opts.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	opts.TLSTimeout = tlsTimeout
	if opts.Cluster.Name != "" {
		opts.Cluster.TLSTimeout = tlsTimeout
		opts.Cluster.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots,
			ClientAuth: tls.RequireAndVerifyClientCert,
		}
	}
	return nil
}

// tlsTimeout bounds a handshake, in seconds.
const tlsTimeout = 5

func (t TLS) authorities() (*x509.CertPool, error) {
	if t.CA == "" {
		return x509.SystemCertPool()
	}
	return authority.Pool(t.CA)
}
