package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// sparePipes are what only a program has that waits for its input.
type sparePipes struct {
	says  *os.File // where it says that it waits, and that it has read
	stdin int      // the write end of its input; -1 once it was given
}

// openSparePipes makes the descriptors of a spare: 0 is left open, nobody reads from 1 and 2 yet, and 3 is for it to
// say how far it is.
func openSparePipes(s Spec) (*pipes, error) {
	p := &pipes{spare: &sparePipes{stdin: -1}}
	err := p.holdInput()
	err = errors.Join(err, p.addOutput(s.Stdout), p.addOutput(s.Stderr), p.addSays())
	if err != nil {
		p.abandon()
		return nil, fmt.Errorf("pipes: %w", err)
	}
	return p, nil
}

// holdInput makes a pipe for what is not there yet.
func (p *pipes) holdInput() (err error) {
	p.spare.stdin, err = p.add(readEnd)
	return err
}

func (p *pipes) addSays() error {
	fd, err := p.add(writeEnd)
	if err != nil {
		return err
	}
	p.spare.says = os.NewFile(uintptr(fd), "|says")
	return nil
}

// give writes the input of a spare, and has its output go where it is wanted.
func (p *pipes) give(w Work) {
	later, _ := fill(p.spare.stdin, w.Stdin) // a pipe has nothing to flush
	p.spare.stdin = -1
	if later != nil {
		p.inputs = append(p.inputs, later)
	}
	p.lead(w)
	p.serve()
}

// abandon closes everything, for a program that never started.
func (sp *sparePipes) abandon() {
	if sp == nil {
		return
	}
	if sp.stdin >= 0 {
		_ = syscall.Close(sp.stdin) // a pipe has nothing to flush
	}
	if sp.says != nil {
		_ = sp.says.Close() // likewise
	}
}
