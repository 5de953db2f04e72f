package streams_test

import (
	"errors"
	"testing"

	"github.com/attune/attune/streams"
)

func TestFiltersMatchTheSubjectsTheyAreFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ want, got string }{
		{"attune.execution.core.echo.*", must(t)(streams.ExecutionsOf("core", "echo"))},
		{"attune.decision.*.*.e1", must(t)(streams.AnyDecisionSubject("e1"))},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if _, err := streams.ExecutionsOf("core", "*"); !errors.Is(err, streams.ErrBadToken) {
		t.Errorf("a wildcard as an action: %v", err)
	}
	if _, err := streams.AnyDecisionSubject(">"); !errors.Is(err, streams.ErrBadToken) {
		t.Errorf("a wildcard as an id: %v", err)
	}
}

func must(t *testing.T) func(string, error) string {
	t.Helper()
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
