//go:build failpoint

package main

import (
	"os"

	"github.com/attune/attune/pkg/failpoint"
)

// armFailpoints makes this process end or stop where the tests of faults say. Only their builds can.
func armFailpoints() error {
	return failpoint.Arm(os.Getenv("ATTUNE_FAILPOINTS"), os.Getenv("ATTUNE_FAILPOINTS_LOG"))
}
