package mask

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
)

// Command begins a line by which a program has a further value masked: the rest of the line.
const Command = "::add-mask::"

const (
	// MaxAdded bounds how many values one program may add.
	MaxAdded = 100
	// MaxAddedValue is the length, in bytes, of the longest value that a program may add.
	MaxAddedValue = 64 << 10
)

var (
	command       = []byte(Command)
	commandInside = []byte("\n" + Command)
)

// Added counts what one program has added, over all its streams. The zero value is ready.
type Added struct{ count atomic.Int32 }

// Commands takes the lines that begin with Command out of what is written to it, adds their values to m, and passes
// everything else on to an output. What stands in the log in place of such a line goes to log, which m must mask. Close
// passes on what was held back and closes neither. It belongs to one goroutine.
func (m *Masker) Commands(to, log io.Writer, added *Added) io.WriteCloser {
	return &commands{masker: m, to: to, log: log, added: added, begins: true}
}

type commands struct {
	masker  *Masker
	to, log io.Writer
	added   *Added

	begins  bool   // a line begins here, or after so many bytes of Command that were held back
	matched int    // of Command
	inside  bool   // the value is being read
	value   []byte // what was read of it
	long    bool   // it is too long
}

// Write takes output. Its error is that of the outputs behind it.
func (c *commands) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		var err error
		switch {
		case c.inside:
			rest, err = c.read(rest)
		case c.begins:
			rest, err = c.begin(rest)
		default:
			rest, err = c.pass(rest)
		}
		if err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

// read reads the value to the end of the line.
func (c *commands) read(p []byte) ([]byte, error) {
	part, rest, ended := bytes.Cut(p, []byte{'\n'})
	if c.long = c.long || len(c.value)+len(part) > MaxAddedValue; !c.long {
		c.value = append(c.value, part...)
	}
	if !ended {
		return nil, nil
	}
	return rest, c.obey()
}

// obey adds the value that was read, and says in the log what became of it.
func (c *commands) obey() error {
	c.inside, c.begins, c.matched = false, true, 0
	note := Replacement
	switch {
	case c.long:
		note = fmt.Sprintf("[attune: longer than %d bytes, not masked]", MaxAddedValue)
	case c.added.count.Add(1) > MaxAdded:
		note = fmt.Sprintf("[attune: more than %d values, not masked]", MaxAdded)
	case !c.masker.Add(string(c.value)):
		note = fmt.Sprintf("[attune: shorter than %d bytes, not masked]", MinValue)
	}
	clear(c.value)
	c.value, c.long = c.value[:0], false
	_, err := io.WriteString(c.log, Command+note+"\n")
	return err
}

// begin compares the beginning of a line.
func (c *commands) begin(p []byte) ([]byte, error) {
	n := 0
	for n < len(p) && c.matched+n < len(command) && p[n] == command[c.matched+n] {
		n++
	}
	if c.matched+n == len(command) {
		c.inside = true
		return p[n:], nil
	}
	if n == len(p) {
		c.matched += n
		return nil, nil
	}
	return p, c.release()
}

// release passes on what was held back of a line that is no command.
func (c *commands) release() error {
	held := command[:c.matched]
	c.begins, c.matched = false, 0
	if len(held) == 0 {
		return nil
	}
	_, err := c.to.Write(held)
	return err
}

// pass passes on everything before the next command, or the beginning of one.
func (c *commands) pass(p []byte) ([]byte, error) {
	end, rest := len(p), []byte(nil)
	last := p[max(0, len(p)-len(command)):] // only here may a command have begun that is not yet whole
	if i := bytes.Index(p, commandInside); i >= 0 {
		end, rest = i+1, p[i+len(commandInside):]
		c.inside = true
	} else if i := bytes.LastIndexByte(last, '\n'); i >= 0 && bytes.HasPrefix(command, last[i+1:]) {
		c.begins, c.matched = true, len(last)-i-1
		end -= c.matched
	}
	_, err := c.to.Write(p[:end])
	return rest, err
}

// Close passes on what was held back. A command at the very end needs no line end.
func (c *commands) Close() error {
	if c.inside {
		return c.obey()
	}
	return c.release()
}
