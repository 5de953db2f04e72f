//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Enabled tells whether this build has failpoints.
const Enabled = true

// armed is the plan of this process, nil before Arm.
var armed atomic.Pointer[Plan]

// Arm makes the places do what the plan says. Firings are appended to the file at log first, and nothing fires
// that could not be noted there. An empty plan arms nothing.
func Arm(text, log string) error {
	p, err := Parse(text)
	if err != nil || p == nil {
		return err
	}
	if log == "" {
		return fmt.Errorf("%w: it needs a file to note its firings in", ErrPlan)
	}
	p.log = log
	armed.Store(p)
	return nil
}

// Hit says that the code has come to a place.
func Hit(n Name) {
	p := armed.Load()
	if p == nil {
		return
	}
	deed, due := p.due(n)
	if !due {
		return
	}
	if err := p.note(n, deed); err != nil {
		panic(fmt.Sprintf("note failpoint %s: %v", n, err)) // a firing that nobody hears of proves nothing
	}
	do(deed)
}

// do sends the signal to this very thread, so that not one more instruction of the caller is run before it.
func do(d Deed) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signal := unix.SIGKILL
	if d == Stop {
		signal = unix.SIGSTOP
	}
	if err := unix.Tgkill(os.Getpid(), unix.Gettid(), signal); err != nil {
		panic(fmt.Sprintf("failpoint: signal %v to itself: %v", signal, err))
	}
}
