package api

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// What the client of NATS gives up to read in the middle is not taken for all that there is.
func TestEntriesThatCouldNotAllBeReadAreAnError(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	kv, err := natstest.Connect(t, server).JS.KeyValue(t.Context(), streams.BucketSensors)
	if err != nil {
		t.Fatal(err)
	}
	const all = 600 // more than a watch has room for
	for n := range all {
		if _, err := kv.PutString(t.Context(), fmt.Sprintf("p.s%d", n), "{}"); err != nil {
			t.Fatal(err)
		}
	}
	b := natstest.Connect(t, server)
	s := &Server{config: Config{Bus: b}, log: slog.New(slog.DiscardHandler)}
	read := 0
	err = s.entries(t.Context(), streams.BucketSensors, ">", func(string, []byte) error {
		if read++; read == 1 {
			b.Conn.Close()
		}
		return nil
	})
	if !errors.Is(err, errReadEnded) || read == all {
		t.Errorf("%d of %d were read, and the error is %v", read, all, err)
	}
}
