package streams_test

import (
	"testing"

	"github.com/attune/attune/streams"
)

// BenchmarkSubjects builds and reads the subjects of one execution.
func BenchmarkSubjects(b *testing.B) {
	const id = "0192a8d4-7a60-7b44-9f5e-0123456789ab"
	for _, c := range []struct {
		name  string
		build func() (string, error)
	}{
		{"event", func() (string, error) { return streams.EventSubject("web", "alert") }},
		{"decision", func() (string, error) { return streams.DecisionSubject("web", "alert", id) }},
		{"execution", func() (string, error) { return streams.ExecutionSubject("web", "restart", id) }},
		{"queue with a key", func() (string, error) { return streams.QueueSubject("web", "restart", "web1.example.org", id) }},
		{"run", func() (string, error) { return streams.RunSubject("default", id) }},
		{"log", func() (string, error) { return streams.LogSubject(id, "stdout") }},
	} {
		b.Run("build "+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.build(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("read execution", func(b *testing.B) {
		subject, err := streams.ExecutionSubject("web", "restart", id)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, err := streams.ExecutionTokens(subject); err != nil {
				b.Fatal(err)
			}
		}
	})
}
