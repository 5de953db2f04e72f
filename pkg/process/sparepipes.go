package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sparePipes are what only a program has that waits for its input.
type sparePipes struct {
	ready *os.File // where it says that it waits
	stdin int      // the write end of its input; -1 once it was given
	probe int      // a read end of the same: what is left in it nobody has read
	all   int      // bytes of the input
	later *input   // what was written in the background; nil when the pipe took all at once
}

// openSparePipes makes the descriptors of a spare: 0 is left open, nobody reads from 1 and 2 yet, and 3 is for it to
// say that it waits.
func openSparePipes(s Spec) (*pipes, error) {
	p := &pipes{spare: &sparePipes{stdin: -1, probe: -1}}
	err := p.holdInput()
	err = errors.Join(err, p.addOutput(s.Stdout), p.addOutput(s.Stderr), p.addReady())
	if err != nil {
		p.abandon()
		return nil, fmt.Errorf("pipes: %w", err)
	}
	return p, nil
}

// holdInput makes a pipe for what is not there yet.
func (p *pipes) holdInput() (err error) {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	p.child, p.spare.stdin = append(p.child, fd[0]), fd[1]
	if p.spare.probe, err = unix.FcntlInt(uintptr(fd[0]), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	return syscall.SetNonblock(fd[1], true)
}

func (p *pipes) addReady() error {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	p.child = append(p.child, fd[1])
	if err := syscall.SetNonblock(fd[0], true); err != nil {
		return errors.Join(err, syscall.Close(fd[0]))
	}
	p.spare.ready = os.NewFile(uintptr(fd[0]), "|ready")
	return nil
}

// give writes the input of a spare, and has its output go where it is wanted.
func (p *pipes) give(w Work) {
	sp := p.spare
	sp.all = len(w.Stdin)
	sp.later, _ = fill(sp.stdin, w.Stdin) // a pipe has nothing to flush
	sp.stdin = -1
	if sp.later != nil {
		p.inputs = append(p.inputs, sp.later)
	}
	for i, to := range []io.Writer{w.Stdout, w.Stderr} {
		if p.outputs[i].to = to; to == nil {
			p.outputs[i].to = io.Discard
		}
	}
	p.serve()
}

// unread tells whether the program has ended without reading any of what it was given. Nobody writes any more.
func (sp *sparePipes) unread() bool {
	written := sp.all
	if sp.later != nil {
		written -= len(sp.later.rest) - sp.later.done
	}
	left, err := unix.IoctlGetInt(sp.probe, unix.TIOCINQ)
	return err == nil && written > 0 && left == written
}

// close gives up what is left to look at.
func (sp *sparePipes) close() {
	_ = syscall.Close(sp.probe) // a pipe has nothing to flush
	sp.probe = -1
}

// abandon closes everything, for a program that never started.
func (sp *sparePipes) abandon() {
	if sp == nil {
		return
	}
	for _, fd := range []int{sp.stdin, sp.probe} {
		if fd >= 0 {
			_ = syscall.Close(fd) // likewise
		}
	}
	if sp.ready != nil {
		_ = sp.ready.Close() // likewise
	}
}
