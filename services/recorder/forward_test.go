package recorder_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// forwarded is what the file that output is forwarded to holds.
func (f *fixture) forwarded(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(strings.TrimPrefix(f.forward.Target, "file://"), "attune.jsonl"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// A recorder that takes the place of another goes on where that one was, and one that forwards nothing forgets it.
func TestOutputIsForwardedByOneRecorderAfterTheOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.forward.Target = "file://" + t.TempDir()
	f.print(t, "first", "one\n", true)
	first := f.start(t)
	eventually(t, "the first line is there", func() bool { return strings.Contains(f.forwarded(t), `"text":"one"`) })
	f.start(t)
	first()
	f.print(t, "second", "two\n", true)
	eventually(t, "the second line is there", func() bool { return strings.Contains(f.forwarded(t), `"text":"two"`) })
}

func TestARecorderThatForwardsNothingForgetsWhereItWas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.JS.CreateConsumer(t.Context(), streams.Logs, streams.ForwardConsumerConfig()); err != nil {
		t.Fatal(err)
	}
	f.start(t)
	eventually(t, "the consumer is gone", func() bool {
		_, err := f.JS.Consumer(t.Context(), streams.Logs, streams.ConsumerForward)
		return errors.Is(err, jetstream.ErrConsumerNotFound)
	})
}
