//go:build !race

package pack

import "time"

// patience is how long a test lets something take that must be quick.
const patience = 5 * time.Second
