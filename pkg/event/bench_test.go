package event_test

import (
	"testing"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/streams"
)

// BenchmarkFromMessage reads an event that came without headers, and one that our API published.
func BenchmarkFromMessage(b *testing.B) {
	const payload = `{"host":"web1","state":"down","check":"http","labels":["eu","prod"]}`
	for _, c := range []struct {
		name string
		event.Message
	}{
		{"plain", message(payload)},
		{"ours", message(payload, streams.HeaderEventID, "0192f0c1-0000-7000-8000-000000000001", streams.HeaderSource, "api")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.FromMessage(c.Message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
