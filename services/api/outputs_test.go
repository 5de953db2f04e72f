package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

func (f *fixture) writer(id string) *logs.Writer {
	f.t.Helper()
	store, err := logs.Open(f.t.Context(), logs.Config{Bus: f.bus})
	if err != nil {
		f.t.Fatal(err)
	}
	w, err := store.NewWriter(id, logs.Source{}, logs.Limits{})
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func TestALogIsReadByOffsetAndTail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	f.move(id, streams.Running)
	w := f.writer(id)
	say(t, w.Stdout(), "one\ntwo\nthree\n")
	say(t, w.Stderr(), "\x1b]0;bad\x07\xff\x00\n")
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.move(id, streams.Succeeded)
	for query, c := range map[string]struct{ text, offset string }{
		"stdout": {"one\ntwo\nthree\n", "0"}, "stdout?offset=4": {"two\nthree\n", "4"}, "stdout?tail=1": {"three\n", "8"},
		"stdout?tail=2&follow=true": {"two\nthree\n", "4"}, "stdout?offset=14": {"", "14"},
		"stdout?offset=1000000000000000000": {"", "1000000000000000000"}, "stderr": {"\x1b]0;bad\x07\xff\x00\n", "0"},
		"stdout?offset=1000000000000000000&follow=true": {"", "1000000000000000000"},
	} {
		a := f.get("/api/v1/executions/" + id + "/logs/" + query)
		if a.status != http.StatusOK || string(a.body) != c.text || a.header.Get(wire.HeaderOffset) != c.offset ||
			a.header.Get("Content-Type") != "text/plain; charset=utf-8" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %q at %s: %v", query, a.status, a.body, a.header.Get(wire.HeaderOffset), a.header)
		}
	}
	for query, field := range map[string]string{
		"stdout?offset=-1": "offset", "stdout?offset=1e18": "offset", "stdout?tail=-1": "tail", "stdout?follow=maybe": "follow",
		"stdlog": "stream", "stdout?offset=99999999999999999999": "offset",
	} {
		f.get("/api/v1/executions/"+id+"/logs/"+query).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
	f.get("/api/v1/executions/"+newID()+"/logs/stdout").refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestALogIsFollowedUntilTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := f.http.Do(f.request(ctx, http.MethodGet, "/api/v1/executions/"+id+"/logs/stdout?follow=true", nil, "Authorization", "Bearer "+token))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f.move(id, streams.Running)
	w := f.writer(id)
	var got strings.Builder
	for _, line := range []string{"one\n", "two\n", "three\n"} { // each is seen before the next is written
		say(t, w.Stdout(), line)
		if _, err := io.CopyN(&got, resp.Body, int64(len(line))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.move(id, streams.Succeeded)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) > 0 || got.String() != "one\ntwo\nthree\n" {
		t.Errorf("followed %q, then %q, %v", got.String(), rest, err)
	}
}
