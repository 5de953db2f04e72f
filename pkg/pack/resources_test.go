package pack_test

import (
	"testing"

	"github.com/attune/attune/pkg/pack"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[pack.Size]int64{"": 0, "1k": 1024, "512m": 512 << 20, "9999999g": 9999999 << 30, "m": 0, "5": 0, "-1m": 0, "1.5g": 0} {
		if got := text.Bytes(); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
