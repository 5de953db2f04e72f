package config

import (
	"errors"

	"github.com/attune/attune/pkg/forward"
)

// Forwarding says where output is forwarded to. It holds secrets.
func (c Config) Forwarding() forward.Destination {
	return forward.Destination{Target: c.LogForward, Headers: c.LogForwardHeaders, HeadersFile: c.LogForwardHeadersFile, CAFile: c.LogForwardCA}
}

// checkForward repeats no value: each may hold a secret.
func (c Config) checkForward() (err error) {
	d, headers := c.Forwarding(), "LOG_FORWARD_HEADERS"
	if d.Headers == "" {
		headers = "LOG_FORWARD_HEADERS_FILE"
	}
	check := func(name string, found error) {
		if found != nil {
			err = errors.Join(err, wrong(name, "...", found.Error()))
		}
	}
	if d.Target != "" {
		check("LOG_FORWARD", d.CheckTarget())
	}
	check(headers, d.CheckHeaders())
	check("LOG_FORWARD_CA", d.CheckCA())
	return err
}
