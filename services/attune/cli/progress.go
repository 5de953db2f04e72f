package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// progress is one line on a terminal that says where long work stands. Elsewhere it says nothing.
type progress struct {
	w     io.Writer
	on    bool
	shown bool
}

func newProgress(s *session) *progress {
	return &progress{w: s.errw, on: isTerminal(s.errw) && s.format == formatTable}
}

// isTerminal tells whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say puts a text in the place of the last one.
func (p *progress) say(format string, args ...any) {
	if !p.on {
		return
	}
	width, _ := terminalSize(p.w)
	fmt.Fprintf(p.w, "\r%s\x1b[K", cut(oneLine(fmt.Sprintf(format, args...)), width-1))
	p.shown = true
}

// done takes the line away.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
