package environment_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// What a server that was restarted had been asked for does not come, and nothing says so.
func TestAnArchiveOfWhichNothingComesIsGivenUp(t *testing.T) {
	t.Parallel()
	b := natstest.Connect(t, natstest.Start(t))
	if err := b.PutObject(t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: "d"}, []byte("an archive")); err != nil {
		t.Fatal(err)
	}
	s, err := b.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsPacks)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$O."+streams.ObjectsPacks+".C.>")); err != nil {
		t.Fatal(err)
	}
	a := environment.Archives{JS: b.JS}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // the library would wait that long
	defer cancel()
	r, err := a.Open(ctx, "d")
	if err != nil {
		t.Fatal(err)
	}
	_, read := io.ReadAll(r)
	if err := r.Close(); !errors.Is(read, environment.ErrFetch) || !errors.Is(err, environment.ErrFetch) {
		t.Errorf("read: %v; close: %v", read, err)
	}
	if _, err := a.Open(t.Context(), "other"); err == nil || errors.Is(err, environment.ErrFetch) {
		t.Errorf("there is no such archive: %v", err)
	}
}
