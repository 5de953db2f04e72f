//go:build race

package pack

import "time"

// patience is long here: the race detector makes tight loops 20 to 100 times slower.
const patience = time.Minute
