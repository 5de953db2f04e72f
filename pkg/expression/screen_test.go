package expression

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
)

// What a screen leaves out does not fit, what fits it lets through, and of what compares texts it lets only that through
// whose comparison is true.
func TestScreen(t *testing.T) {
	t.Parallel()
	sources := []string{
		`event.payload.host == "web1"`, `event.payload.host == "web2"`, `"web1" == event.payload.host`, `event.payload.host == "web1" && event.payload.n > 3`,
		`event.payload.n > 3 && event.payload.host == "web2"`, `event.payload.host != "web1"`, `event.payload.host.startsWith("web")`, `event.payload.host.endsWith("1") && event.payload["host"] == "web1"`,
		`event.payload.state == "down" || event.payload.host == "web1"`, `event.payload.state == "down"`, `event.payload.n == 5`, `true`, `event.payload.missing == "x"`, `event.id.contains("e")`,
		`event.payload.host == "web1" && event.payload.missing > 3`, `event.payload.list[0] == "web1"`, `event.payload.list["0"] == "web1"`, `event["other"] == "web1"`,
	}
	all := []*Criteria{nil}
	for _, source := range sources {
		c, err := NewCriteria(source)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	screen := NewScreen(all)
	for _, c := range []struct {
		payload any
		left    []string // of those that compare texts
	}{
		{map[string]any{"host": "web1", "state": "up", "n": json.Number("5")}, []string{sources[1], sources[4], sources[5], sources[9]}},
		{map[string]any{"host": "web2", "state": "down", "n": json.Number("2")}, []string{sources[0], sources[2], sources[3], sources[7], sources[14]}},
		{map[string]any{"host": "", "list": []any{"web2"}}, []string{sources[0], sources[1], sources[2], sources[3], sources[4], sources[6], sources[7], sources[14], sources[15]}},
		{map[string]any{"host": json.Number("5"), "list": map[string]any{"0": "web2"}}, []string{sources[16]}},
		{map[string]any{}, nil},
		{"web1", nil},
		{nil, nil},
	} {
		event := map[string]any{"id": "event", "payload": c.payload}
		possible := screen.Possible(func(name string) (any, bool) { v, ok := event[name]; return v, ok })
		if !slices.IsSorted(possible) || len(slices.Compact(slices.Clone(possible))) != len(possible) || !slices.Contains(possible, 0) {
			t.Errorf("%v: possible are %v", c.payload, possible)
		}
		var left []string
		for i, source := range sources {
			if slices.Contains(possible, i+1) {
				continue
			}
			left = append(left, source)
			if fits, err := all[i+1].Match(context.Background(), event); fits || err != nil {
				t.Errorf("%v: %s is left out: %t, %v", c.payload, source, fits, err)
			}
		}
		if !slices.Equal(left, c.left) {
			t.Errorf("%v: left out are %q, not %q", c.payload, left, c.left)
		}
	}
}
