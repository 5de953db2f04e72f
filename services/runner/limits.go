package runner

import (
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/pack"
)

// limitsOf gives the limits of an action's output.
func limitsOf(l pack.Logs) logs.Limits {
	return logs.Limits{StreamBytes: l.MaxBytes, TotalBytes: l.MaxTotalBytes, SegmentBytes: l.SegmentBytes, Ends: l.Keep == pack.KeepEnds}
}
