package bus_test

import (
	"bytes"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func TestAnObjectIsWhatTheLibraryReads(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsPacks)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{"empty": 0, "one byte": 1, "one/chunk": 128 << 10, "a byte more": 128<<10 + 1, "several": 1 << 20}
	for name, size := range sizes {
		want := bytes.Repeat([]byte("0123456789abcdef\x00\xff"), size/18+1)[:size]
		meta := jetstream.ObjectMeta{Name: name, Metadata: map[string]string{"k": "v"}}
		if err := b.PutObject(t.Context(), streams.ObjectsPacks, meta, want); err != nil {
			t.Fatal(err)
		}
		got, err := store.GetBytes(t.Context(), name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), size, err)
		}
		info, err := store.GetInfo(t.Context(), name)
		if err != nil || info.Size != uint64(size) || info.Metadata["k"] != "v" {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	if all, err := store.List(t.Context()); err != nil || len(all) != len(sizes) {
		t.Errorf("list: %d objects, %v", len(all), err)
	}
}
