package config

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/attune/attune/pkg/logs"
)

// The values of LOG_KEEP.
const (
	logKeepHead = "head"
	logKeepEnds = "ends"
)

// Bounds of limits, as in the schema of actions.
const (
	minLogBytes = 1 << 10
	maxLogBytes = 1 << 40
)

func (c Config) checkLogs() error {
	errs := []error{
		inBytes("LOG_MAX_BYTES", c.LogMaxBytes, minLogBytes, maxLogBytes),
		inBytes("LOG_MAX_TOTAL_BYTES", c.LogMaxTotalBytes, minLogBytes, 2*maxLogBytes),
		inBytes("LOG_SEGMENT_BYTES", c.LogSegmentBytes, logs.MinSegmentBytes, logs.MaxSegmentBytes),
		oneOf("LOG_KEEP", c.LogKeep, logKeepHead, logKeepEnds),
		c.checkForward(),
	}
	if c.LogMaxTotalBytes < c.LogMaxBytes {
		errs = append(errs, wrong("LOG_MAX_TOTAL_BYTES", strconv.FormatInt(c.LogMaxTotalBytes, 10), "want at least LOG_MAX_BYTES"))
	}
	return errors.Join(errs...)
}

func inBytes(name string, value, low, high int64) error {
	if value < low || value > high {
		return wrong(name, strconv.FormatInt(value, 10), fmt.Sprintf("want %d to %d", low, high))
	}
	return nil
}

// LogLimits bound the output of executions whose actions do not say.
func (c Config) LogLimits() logs.Limits {
	return logs.Limits{
		StreamBytes: c.LogMaxBytes, TotalBytes: c.LogMaxTotalBytes, SegmentBytes: c.LogSegmentBytes, Ends: c.LogKeep == logKeepEnds,
	}
}
