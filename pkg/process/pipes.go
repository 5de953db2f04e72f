package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// chunkBytes is how much output is read at once: all that a pipe holds.
const chunkBytes = 64 << 10

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkBytes); return &b }}

// pipes are a run's ends of the pipes to its program.
type pipes struct {
	child   []int     // the program's ends, by its file descriptor numbers; closed once it has started
	inputs  []*input  // what remains to be written
	outputs []*output // stdout and stderr
	feeding sync.WaitGroup
	reading sync.WaitGroup
	spare   *sparePipes // of a spare only
}

// input is a pipe that could not take everything before the start.
type input struct {
	file *os.File
	rest []byte
}

// output is a pipe that is read until its end.
type output struct {
	file *os.File
	to   io.Writer
	err  error // the writer's first; this and the next are set before reading is done
	held bool  // somebody still had the pipe open when reading was cut off
}

// openPipes makes the program's descriptors: 0 from stdin, 1 and 2 to the writers, 3 and up from extra.
func openPipes(s Spec) (*pipes, error) {
	p := &pipes{}
	err := p.addInput(s.Stdin)
	err = errors.Join(err, p.addOutput(s.Stdout))
	if s.Together && err == nil {
		err = p.addTwin()
	} else {
		err = errors.Join(err, p.addOutput(s.Stderr))
	}
	for _, data := range s.Extra {
		err = errors.Join(err, p.addInput(data))
	}
	if err != nil {
		p.abandon()
		return nil, fmt.Errorf("pipes: %w", err)
	}
	return p, nil
}

const readEnd, writeEnd = 0, 1 // of a pipe, as pipe2(2) gives them

// add makes a pipe of which the program has one end. It gives the other one, which is read and written without waiting;
// -1 when there is none.
func (p *pipes) add(childs int) (ours int, err error) {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC); err != nil {
		return -1, err
	}
	p.child, ours = append(p.child, fd[childs]), fd[1-childs]
	if err := syscall.SetNonblock(ours, true); err != nil {
		return -1, errors.Join(err, syscall.Close(ours))
	}
	return ours, nil
}

// addInput writes what fits into the pipe at once: a small input needs no goroutine and is complete, end of
// file included, before the program runs its first instruction.
func (p *pipes) addInput(data []byte) error {
	fd, err := p.add(readEnd)
	if err != nil {
		return err
	}
	in, err := fill(fd, data)
	if in != nil {
		p.inputs = append(p.inputs, in)
	}
	return err
}

// fill writes what fits into a pipe, and closes it when that was all. Otherwise it gives what remains to be written.
func fill(fd int, data []byte) (*input, error) {
	n := 0
	if len(data) > 0 {
		n, _ = syscall.Write(fd, data) // what it did not take is written later
	}
	if n = max(n, 0); n == len(data) {
		return nil, syscall.Close(fd)
	}
	return &input{file: os.NewFile(uintptr(fd), "|input"), rest: data[n:]}, nil
}

func (p *pipes) addOutput(to io.Writer) error {
	fd, err := p.add(writeEnd)
	if err != nil {
		return err
	}
	if to == nil {
		to = io.Discard
	}
	p.outputs = append(p.outputs, &output{file: os.NewFile(uintptr(fd), "|output"), to: to})
	return nil
}

// addTwin makes the last descriptor a second time.
func (p *pipes) addTwin() error {
	fd, err := unix.FcntlInt(uintptr(p.child[len(p.child)-1]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.child = append(p.child, fd)
	return nil
}

// files lists the program's descriptors for its start.
func (p *pipes) files() []uintptr {
	list := make([]uintptr, len(p.child))
	for i, fd := range p.child {
		list[i] = uintptr(fd)
	}
	return list
}

// closeChild gives up the program's ends, so that a pipe ends when the last process that has it does.
func (p *pipes) closeChild() {
	for _, fd := range p.child {
		_ = syscall.Close(fd) // a pipe has nothing to flush
	}
	p.child = nil
}

// own has a user own the pipes, who may then open them by their names in /dev as well. 0 is nobody.
func (p *pipes) own(user uint32) error {
	if user == 0 {
		return nil
	}
	for _, fd := range p.child {
		if err := unix.Fchown(fd, int(user), int(user)); err != nil {
			return fmt.Errorf("pipes: %w", err)
		}
	}
	return nil
}

// abandon closes everything, for a program that never started.
func (p *pipes) abandon() {
	p.closeChild()
	for _, in := range p.inputs {
		_ = in.file.Close() // likewise
	}
	for _, out := range p.outputs {
		_ = out.file.Close() // likewise
	}
	p.spare.abandon()
}

// lead has the output go where it is wanted.
func (p *pipes) lead(w Work) {
	for i, to := range []io.Writer{w.Stdout, w.Stderr}[:len(p.outputs)] {
		if p.outputs[i].to = to; to == nil {
			p.outputs[i].to = io.Discard
		}
	}
}

// serve writes and reads in the background.
func (p *pipes) serve() {
	for _, in := range p.inputs {
		p.feeding.Go(in.feed)
	}
	for _, out := range p.outputs {
		p.reading.Go(out.drain)
	}
}

// feed writes the rest. A program need not read its input, so an error is none.
func (in *input) feed() {
	_, _ = in.file.Write(in.rest)
	_ = in.file.Close() // a pipe has nothing to flush
}

// stopFeeding ends writing to a program that has ended.
func (p *pipes) stopFeeding() {
	for _, in := range p.inputs {
		_ = in.file.SetWriteDeadline(time.Unix(1, 0)) // it may be closed already
	}
	p.feeding.Wait()
}

// drained is closed when both outputs have ended and everything was handed on.
func (p *pipes) drained() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		p.reading.Wait()
		close(done)
	}()
	return done
}

// cutOff ends reading from processes that do not close their output: what they wrote is still read.
func (p *pipes) cutOff() {
	for _, out := range p.outputs {
		_ = out.file.SetReadDeadline(time.Unix(1, 0)) // it may be closed already
	}
}

// err gives the writers' errors.
func (p *pipes) err() error {
	var errs []error
	for _, o := range p.outputs {
		errs = append(errs, o.err)
	}
	return errors.Join(errs...)
}

// held tells whether an output was still open when reading was cut off.
func (p *pipes) held() bool {
	return slices.ContainsFunc(p.outputs, func(o *output) bool { return o.held })
}

func (o *output) drain() {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	defer func() { _ = o.file.Close() }() // it was only read
	for {
		n, err := o.file.Read(*buf)
		o.hand((*buf)[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.rest(*buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// hand passes output on until the writer fails; from then on output is read and dropped, so that the program
// goes on.
func (o *output) hand(b []byte) {
	if len(b) == 0 || o.err != nil {
		return
	}
	_, o.err = o.to.Write(b)
}

// rest reads what is in the pipe already, after reading was cut off. At most one pipe full: somebody may
// still be writing.
func (o *output) rest(buf []byte) {
	const pipeBytes = 1 << 20
	_ = o.file.SetReadDeadline(time.Time{}) // a pipe in use takes deadlines
	raw, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	for left := pipeBytes; left > 0; {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), buf)
			return true
		})
		if err != nil || n <= 0 {
			o.held = n < 0 // it would block
			return
		}
		o.hand(buf[:n])
		left -= n
	}
	o.held = true
}
