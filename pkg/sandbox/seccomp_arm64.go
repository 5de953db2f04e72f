package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	lastNumber = 1<<31 - 1
)

// deniedHere are calls that only this architecture has.
var deniedHere []uintptr
