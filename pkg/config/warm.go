package config

import (
	"errors"
	"strconv"
	"time"
)

func (c Config) checkWarm() error {
	var errs []error
	if c.WarmMemory < 0 {
		errs = append(errs, wrong("WARM_MEMORY", strconv.FormatInt(int64(c.WarmMemory), 10), "want an amount of memory, such as 256MiB, or 0 for none"))
	}
	if c.WarmAge < time.Second {
		errs = append(errs, wrong("WARM_AGE", c.WarmAge.String(), "want at least 1s"))
	}
	return errors.Join(errs...)
}
