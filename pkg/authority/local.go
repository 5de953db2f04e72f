package authority

import "net"

// Local tells whether a host is this machine, so that nobody can come between and no certificate is needed.
func Local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
