package secret_test

import (
	"fmt"
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

func BenchmarkPut(b *testing.B) {
	s := open(b, dbtest.New(b), keyFile(b))
	for i := 0; b.Loop(); i++ {
		put(b, s, secret.Global, fmt.Sprintf("S%d", i), canary, 0)
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, dbtest.New(b), keyFile(b))
	put(b, s, secret.Global, "A", canary, 0)
	for b.Loop() {
		if _, err := s.Get(b.Context(), secret.Global, "A"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRekey is of 10,000 secrets at a time.
func BenchmarkRekey(b *testing.B) {
	pool := dbtest.New(b)
	s := start(b, pool, secret.KeyFile(keyFile(b)))
	for i := range 10_000 {
		put(b, s, secret.Global, fmt.Sprintf("S%d", i), canary, 0)
	}
	for b.Loop() {
		rekey(b, s, "")
		eventually(b, "all are sealed anew", func() bool { return keys(b, s).Left() == 0 })
	}
}
