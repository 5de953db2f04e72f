package secret

import (
	"bytes"
	"testing"
)

func BenchmarkSealAndOpen(b *testing.B) {
	k, err := newKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	value := bytes.Repeat([]byte{'x'}, 64)
	e := envelope{Ref: Ref{Global, "A"}, Version: 1}
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if err := e.fill(b.Context(), k, value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.value(b.Context(), k); err != nil {
				b.Fatal(err)
			}
		}
	})
}
