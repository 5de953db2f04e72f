package logs

import (
	"fmt"
	"sync/atomic"

	"github.com/attune/attune/pkg/pack"
)

// Limits bound what is kept of an execution's output. Zero values mean the defaults.
type Limits struct {
	StreamBytes  int64 // of each stream; what is over is drained and counted; 10 MiB
	TotalBytes   int64 // of both together; 20 MiB, or twice StreamBytes where that is more
	SegmentBytes int64 // raw bytes per stored segment; 4 MiB
	Ends         bool  // of a stream that goes over its limit keep the first and the last half, not the beginning
}

// The defaults and bounds of Limits.
const (
	DefaultStreamBytes  = 10 << 20
	DefaultTotalBytes   = 20 << 20
	DefaultSegmentBytes = 4 << 20
	MinSegmentBytes     = 64 << 10
	MaxSegmentBytes     = 64 << 20
)

// WithDefaults gives the limits that hold where these leave something open.
func (l Limits) WithDefaults() Limits {
	if l.StreamBytes <= 0 {
		l.StreamBytes = DefaultStreamBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = max(DefaultTotalBytes, 2*l.StreamBytes)
	}
	if l.SegmentBytes <= 0 {
		l.SegmentBytes = DefaultSegmentBytes
	}
	l.SegmentBytes = min(max(l.SegmentBytes, MinSegmentBytes), MaxSegmentBytes)
	return l
}

// For gives the limits of an action's output: its own, and these where it has none. An action that wants more of each
// stream may have it of both.
func (l Limits) For(a pack.Logs) Limits {
	l = l.WithDefaults()
	if a.MaxBytes > 0 {
		l.StreamBytes = a.MaxBytes
		l.TotalBytes = max(l.TotalBytes, 2*a.MaxBytes)
	}
	if a.MaxTotalBytes > 0 {
		l.TotalBytes = a.MaxTotalBytes
	}
	if a.SegmentBytes > 0 {
		l.SegmentBytes = a.SegmentBytes
	}
	if a.Keep != "" {
		l.Ends = a.Keep == pack.KeepEnds
	}
	return l.WithDefaults()
}

// beginning is how much of the beginning of a stream is kept.
func (l Limits) beginning() int64 {
	if l.Ends {
		return l.StreamBytes / 2
	}
	return l.StreamBytes
}

// Excess says which limit the output of an execution went over first.
type Excess struct {
	Stream string // "" when it is the limit of both together
	Limit  int64
}

func (e *Excess) Error() string {
	if e.Stream == "" {
		return fmt.Sprintf("the output went over the limit of both streams together, %s bytes", grouped(e.Limit))
	}
	return fmt.Sprintf("%s went over its limit, %s bytes", e.Stream, grouped(e.Limit))
}

// budget is what both streams together may still keep.
type budget struct{ left atomic.Int64 }

// take gives as much of n as there is.
func (b *budget) take(n int64) int64 {
	for {
		left := b.left.Load()
		n = min(n, left)
		if n <= 0 {
			return 0
		}
		if b.left.CompareAndSwap(left, left-n) {
			return n
		}
	}
}
