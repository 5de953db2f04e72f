package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/attune/attune/pkg/api"
)

// Problem is an error that the API answered with.
type Problem = api.Problem

// Code gives the code of an error that the API answered with, and "" for any other.
func Code(err error) string {
	var p *Problem
	if !errors.As(err, &p) {
		return ""
	}
	return p.Code
}

// temporary tells whether the API may answer otherwise in a while.
func temporary(p *Problem) bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusBadGateway ||
		p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
}

// readProblem makes an error of an answer that is no success. What is not problem+json, a proxy's page for
// instance, becomes a problem without a code.
func readProblem(r request, resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		data = nil // the status alone has to do
	}
	p := &Problem{}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "application/problem+json" || json.Unmarshal(data, p) != nil || p.Code == "" {
		return foreign(r, resp, data)
	}
	p.Status, p.RetryAfter = resp.StatusCode, retryAfter(resp.Header)
	return p
}

func foreign(r request, resp *http.Response, data []byte) error {
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	if len(first) > 200 {
		first = first[:200]
	}
	detail := strings.TrimSpace(resp.Status + " " + fmt.Sprintf("%q", first))
	return fmt.Errorf("%s %s: %w: %w", r.method, r.path, ErrBadAnswer, &Problem{Status: resp.StatusCode, Detail: detail, RetryAfter: retryAfter(resp.Header)})
}
