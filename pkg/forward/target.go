package forward

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrTarget is returned for an address that names no sink.
var ErrTarget = errors.New("want file:///FOLDER, otlp+http://HOST:PORT or otlp+https://HOST:PORT")

const (
	schemeFile = "file"
	schemeOTLP = "otlp+"

	defaultFileBytes = 100 << 20
	minFileBytes     = 1 << 20 // the longest record fits
	defaultFileKeep  = 10
	maxFileKeep      = 1000
)

// target is an address taken apart.
type target struct {
	folder    string // of files; "" for a receiver
	fileBytes int64
	fileKeep  int
	endpoint  string // of a receiver
	shown     string // the address without a password
}

func parse(address string) (target, error) {
	u, err := url.Parse(address)
	if err != nil {
		return target{}, ErrTarget
	}
	t := target{shown: u.Redacted()}
	switch u.Scheme {
	case schemeFile:
		return t.files(u)
	case schemeOTLP + "http", schemeOTLP + "https":
		if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return target{}, ErrTarget
		}
		u.Scheme = strings.TrimPrefix(u.Scheme, schemeOTLP)
		t.endpoint = u.JoinPath("v1", "logs").String()
		return t, nil
	}
	return target{}, ErrTarget
}

func (t target) files(u *url.URL) (target, error) {
	if u.Host != "" || u.User != nil || u.Fragment != "" || !filepath.IsAbs(u.Path) || filepath.Clean(u.Path) == "/" {
		return target{}, fmt.Errorf("%w; FOLDER is absolute: file:///var/log/attune", ErrTarget)
	}
	t.folder, t.fileBytes, t.fileKeep = filepath.Clean(u.Path), defaultFileBytes, defaultFileKeep
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return target{}, ErrTarget
	}
	for name := range options {
		n, err := strconv.ParseInt(options.Get(name), 10, 64)
		switch {
		case name == "max_bytes" && err == nil && n >= minFileBytes:
			t.fileBytes = n
		case name == "keep" && err == nil && n >= 0 && n <= maxFileKeep:
			t.fileKeep = int(n)
		default:
			return target{}, fmt.Errorf("%w; max_bytes is at least %d, keep at most %d, and there are no other options", ErrTarget, minFileBytes, maxFileKeep)
		}
	}
	return t, nil
}
