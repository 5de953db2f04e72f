package forward

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/credential"
)

// ownHeaders are those that requests have by themselves, and those of the connection.
var ownHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// errUnread is returned when a file has no headers that can be sent.
var errUnread = errors.New("headers for the receiver cannot be read")

// headers gives what the receiver asks for, as it is now.
func (d Destination) headers() (http.Header, error) {
	if d.HeadersFile == "" {
		return d.parseHeaders(d.Headers)
	}
	content, err := credential.Read(d.HeadersFile, credential.Handed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnread, err)
	}
	defer clear(content)
	headers, err := d.parseHeaders(string(content))
	if err == nil && len(headers) == 0 {
		err = errors.New("it holds none") // it may be about to be written
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnread, d.HeadersFile, err)
	}
	return headers, nil
}

// parseHeaders reads headers in the format of OTEL_EXPORTER_OTLP_HEADERS (OpenTelemetry specification, "OpenTelemetry
// Protocol Exporter", section "Specifying headers via environment variables"): that of W3C Baggage, "Baggage HTTP Header
// Format", without metadata behind a semicolon. So there is white space around names and values, and a value may have
// more signs of equality. As OpenTelemetry for Go does, it takes a space within a value that is not encoded.
//
// Errors count headers and repeat nothing: a mistake may make a name of a secret.
func (d Destination) parseHeaders(text string) (http.Header, error) {
	headers, n := http.Header{}, 0
	for member := range strings.SplitSeq(text, ",") {
		if member = strings.TrimSpace(member); member == "" {
			continue
		}
		n++
		name, value, err := parseHeader(member)
		switch {
		case err != nil:
		case slices.Contains(ownHeaders, name):
			err = fmt.Errorf("is %s, which requests have by themselves", name)
		case name == "Authorization" && d.hasPassword():
			err = errors.New("is Authorization, and the address has a password, which would be in it")
		case headers[name] != nil:
			err = errors.New("is there before")
		}
		if err != nil {
			return nil, fmt.Errorf("%w; header %d %w", ErrHeaders, n, err)
		}
		headers[name] = []string{value}
	}
	return headers, nil
}

func parseHeader(member string) (name, value string, err error) {
	name, value, ok := strings.Cut(member, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok:
		return "", "", errors.New(`has no "="; a comma in a value is written %2C`)
	case !headerName.MatchString(name):
		return "", "", errors.New("has a name that HTTP does not allow")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`";\`, r) }):
		return "", "", errors.New(`has a character in its value that must be percent-encoded, such as %22 for a quotation mark and %3B for a semicolon`)
	}
	if value, err = url.PathUnescape(value); err != nil {
		return "", "", errors.New("has a % in its value that encodes nothing; the character itself is written %25")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", "", errors.New("has a character in its value that HTTP does not allow")
	}
	return http.CanonicalHeaderKey(name), value, nil
}
