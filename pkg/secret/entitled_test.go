package secret_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

// owned are values that say whose they are: "pack:demo NAME".
type owned []string

func (o owned) Values(_ context.Context, owners []secret.Owner, names []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range names {
		for _, owner := range owners {
			key := string(owner) + " " + name
			if _, ok := out[name]; !ok && strings.Contains(strings.Join(o, "\n")+"\n", key+"\n") {
				out[name] = []byte(key)
			}
		}
		if _, ok := out[name]; !ok {
			return nil, fmt.Errorf("%s: %w", name, secret.ErrNotFound)
		}
	}
	return out, nil
}

// requested makes the world's execution one of that request, and lets it run.
func (w *world) requested(t *testing.T, change func(*execution.Request)) {
	t.Helper()
	r := execution.Request{ID: execution.NewID(), Action: "demo.act", PackDigest: w.state.PackDigest, Parameters: json.RawMessage("{}"), Pool: "default"}
	change(&r)
	got, err := w.facts.Request(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	w.state = got.State
	w.advance(t, streams.Running, "r1")
}

func (w *world) configure(t *testing.T, name, config string) {
	t.Helper()
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketConfigs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), name, []byte(config)); err != nil {
		t.Fatal(err)
	}
}

const references = `{"a":{"$secret":"A"},"b":[{"$secret_text":["x",{"$secret":"B"},{"$secret":"user/C"}]}],"p":{"$secret":"execution/p"}}`

func TestReferencesAreOfThePackOfWhoMadeThem(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, owned{"pack:demo TOKEN", "global TOKEN", "pack:other A", "pack:demo A", "global A", "global B", "user:ann C", "global C", "pack:demo F"})
	w.configure(t, "demo", `{"f":{"$secret":"F"}}`)
	all := secret.Wanted{Declared: []string{"TOKEN"}, Parameters: []marker.Ref{"A", "B", "user/C"}, Config: []marker.Ref{"F"}}
	for name, c := range map[string]struct{ rule, a string }{
		"a client's": {"", "pack:demo A"}, "a rule's of another pack": {"other.r", "pack:other A"}, "a rule's of this pack": {"demo.r", "pack:demo A"},
	} {
		w.requested(t, func(r *execution.Request) {
			r.Rule, r.By, r.Parameters = c.rule, "user:ann", json.RawMessage(references)
		})
		got, err := w.client.Fetch(t.Context(), w.state.ID, 1, func() secret.Wanted { return all })
		if err != nil {
			t.Fatal(name, err)
		}
		want := secret.Given{
			Declared: map[marker.Ref]string{"TOKEN": "pack:demo TOKEN"}, Config: map[marker.Ref]string{"F": "pack:demo F"},
			Parameters: map[marker.Ref]string{"A": c.a, "B": "global B", "user/C": "user:ann C"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestNobodyIsGivenWhatNothingRefersTo(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, owned{"pack:demo A", "global B", "global C", "user:ann C", "pack:demo F", "pack:demo TOKEN"})
	w.configure(t, "demo", `{"f":{"$secret":"F"}}`)
	w.configure(t, "other", `{"f":{"$secret":"B"}}`)
	for name, c := range map[string]struct {
		by     string
		wanted secret.Wanted
		want   error
		says   string
	}{
		"not in the parameters":           {"user:ann", secret.Wanted{Parameters: []marker.Ref{"F"}}, secret.ErrRefused, "do not refer to secret F"},
		"sealed elsewhere":                {"user:ann", secret.Wanted{Parameters: []marker.Ref{"execution/other"}}, secret.ErrRefused, "do not refer"},
		"sealed, and no longer kept":      {"user:ann", secret.Wanted{Parameters: []marker.Ref{"execution/p"}}, secret.ErrRefused, "not found (looked for in execution:"},
		"in the parameters, not declared": {"user:ann", secret.Wanted{Declared: []string{"A"}}, secret.ErrRefused, "does not declare secret A"},
		"in another pack's configuration": {"user:ann", secret.Wanted{Config: []marker.Ref{"B"}}, secret.ErrUnavailable, "cannot be read now"},
		"a user's, requested by a rule":   {"rule", secret.Wanted{Parameters: []marker.Ref{"user/C"}}, secret.ErrRefused, "no user did"},
		"a user's, requested by a token":  {"token:ann", secret.Wanted{Parameters: []marker.Ref{"user/C"}}, secret.ErrRefused, "no user did"},
		"a user's, requested by another":  {"user:bob", secret.Wanted{Parameters: []marker.Ref{"user/C"}}, secret.ErrRefused, "looked for in user:bob"},
		"what cannot be a reference":      {"user:ann", secret.Wanted{Parameters: []marker.Ref{"a b"}}, secret.ErrRefused, ""},
		"more than anybody needs":         {"user:ann", secret.Wanted{Parameters: make([]marker.Ref, 101)}, secret.ErrRefused, ""},
	} {
		w.requested(t, func(r *execution.Request) { r.By, r.Parameters = c.by, json.RawMessage(references) })
		got, err := w.client.Fetch(t.Context(), w.state.ID, 1, func() secret.Wanted { return c.wanted })
		if got.Parameters != nil || got.Config != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestAConfigurationThatHasJustChangedIsAskedForAnew(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, owned{"pack:demo OLD", "pack:demo NEW"})
	w.configure(t, "demo", `{"f":{"$secret":"NEW"}}`)
	running(t, w)
	tries := 0
	got, err := w.client.Fetch(t.Context(), w.state.ID, 1, func() secret.Wanted {
		if tries++; tries == 1 {
			return secret.Wanted{Config: []marker.Ref{"OLD"}}
		}
		return secret.Wanted{Config: []marker.Ref{"NEW"}}
	})
	if err != nil || got.Config["NEW"] != "pack:demo NEW" || tries != 2 {
		t.Errorf("%v, %v after %d tries", got, err, tries)
	}
}
