package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_X86_64
	lastNumber = 1<<30 - 1 // what follows are the calls of x32, which has numbers of its own
)

// deniedHere are calls that only this architecture has.
var deniedHere = []uintptr{unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB}
