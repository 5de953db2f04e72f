package config

import (
	"errors"
	"strconv"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// Age is a duration that may be given in days.
type Age time.Duration

// Decode reads it.
func (a *Age) Decode(text string) error {
	d, err := pack.ParseAge(text)
	*a = Age(d)
	return err
}

// Size is a number of bytes that may be given with a unit.
type Size int64

// Decode reads it.
func (s *Size) Decode(text string) error {
	n, err := pack.ParseSize(text)
	*s = Size(n)
	return err
}

func (c Config) checkRetention() error {
	var errs []error
	if c.LogRetentionCount < 0 {
		errs = append(errs, wrong("LOG_RETENTION_COUNT", strconv.FormatInt(c.LogRetentionCount, 10), "want a number of logs, or 0 for any"))
	}
	if h := c.HistoryRetentionAge; h > 0 && (c.LogRetentionAge == 0 || c.LogRetentionAge > h) {
		errs = append(errs, wrong("HISTORY_RETENTION_AGE", time.Duration(h).String(), "want at least LOG_RETENTION_AGE: a log is known as long as it is kept"))
	}
	if c.RetentionEvery < time.Second {
		errs = append(errs, wrong("RETENTION_EVERY", c.RetentionEvery.String(), "want at least 1s"))
	}
	return errors.Join(errs...)
}
