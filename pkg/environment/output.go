package environment

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// What is kept of a tool's output to be shown with its failure.
const (
	tailLines = 20
	tailWidth = 400      // bytes of a line
	maxLine   = 64 << 10 // a longer line is taken in pieces
)

// output takes what tools say: it passes it on to the log, line by line and without the passwords of addresses,
// and remembers the last lines.
type output struct {
	mu   sync.Mutex // guards the fields below
	log  io.Writer
	line []byte // of which no end has come yet
	tail []string
}

func newOutput(log io.Writer) *output {
	if log == nil {
		log = io.Discard
	}
	return &output{log: log}
}

// Write never fails: a log that cannot be written does not stop a build.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		o.line = append(o.line, rest[:end]...)
		rest = rest[end:]
		if o.line[len(o.line)-1] == '\n' || len(o.line) >= maxLine {
			o.take(o.line)
			o.line = o.line[:0]
		}
	}
	return len(p), nil
}

// take passes a line on. Its caller holds mu.
func (o *output) take(line []byte) {
	if len(line) == 0 {
		return
	}
	line = hidePasswords(line)
	_, _ = o.log.Write(line) // a log that cannot be written does not stop a build
	if text := plain(line); text != "" {
		o.tail = append(o.tail, text)
		if len(o.tail) > tailLines {
			o.tail = append(o.tail[:0], o.tail[1:]...)
		}
	}
}

// flush takes a line that has no end. Its caller holds mu.
func (o *output) flush() {
	if len(o.line) > 0 {
		o.take(append(o.line, '\n'))
		o.line = o.line[:0]
	}
}

// say writes a line of our own.
func (o *output) say(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	o.take([]byte(text + "\n"))
}

// begin forgets what was said before the next command.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	o.tail = nil
}

// end gives the last lines since begin.
func (o *output) end() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	return append([]string(nil), o.tail...)
}

var (
	// userInfo is what may stand before the host of an address, with a password in it.
	userInfo = regexp.MustCompile(`(://)[^/\s@]+@`)
	// escapes are the sequences that colour a terminal, move its cursor or set its title.
	escapes = regexp.MustCompile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])")
)

// hidePasswords takes the name and password out of addresses.
func hidePasswords(line []byte) []byte { return userInfo.ReplaceAll(line, []byte("${1}****@")) }

// plain is a line as it can be shown anywhere: no control characters, valid, bounded.
func plain(line []byte) string {
	text := strings.ToValidUTF8(string(escapes.ReplaceAll(line, nil)), "\uFFFD")
	if at := strings.LastIndexByte(strings.TrimRight(text, "\r\n"), '\r'); at >= 0 {
		text = text[at+1:] // a progress bar overwrites itself
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	if len(text) > tailWidth {
		text = strings.ToValidUTF8(text[:tailWidth], "") + "..."
	}
	return text
}
