package api

import (
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
)

func TestWhatHasWaitedForLongIsLate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	before := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for _, tt := range []struct {
		all  []wire.Backlog
		want bool
	}{
		{nil, false},
		{[]wire.Backlog{{Messages: 5}, {Messages: 5, Oldest: before(9 * time.Second)}}, false},
		{[]wire.Backlog{{}, {Messages: 1, Oldest: before(11 * time.Second)}}, true},
	} {
		if got := late(tt.all, now); got != tt.want {
			t.Errorf("%+v: %t", tt.all, got)
		}
	}
}
