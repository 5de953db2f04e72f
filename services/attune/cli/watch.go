package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

// watchEvery is how often what is watched is looked at.
const watchEvery = time.Second

var errNoScreen = errors.New("--watch draws on a terminal, and the output is none")

// watchQueue shows a queue anew each second until the user stops it, which is how it is meant to end.
func watchQueue(ctx context.Context, s *session, q queueQuestion) error {
	if s.format == formatTable && !s.person() {
		return WithExit(hinted(errNoScreen, "get one document each second with --output jsonl", "or look once, without --watch"), ExitUsage)
	}
	show := s.documents
	if s.format == formatTable {
		show = newScreen(s.view, showQueue).draw
	}
	err := watch(ctx, s, q.ask, show)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// watch asks for something each second and shows it, or why there is no answer, until ctx ends or show returns an error.
// The first answer must come.
func watch[T any](ctx context.Context, s *session, ask func(context.Context, *client.Client) (T, error), show func(T, error) error) error {
	api, seen := s.api, false
	return repeatedly(ctx, func() error {
		found, err := ask(ctx, api)
		if err != nil && (!seen || !passing(err)) {
			return err
		}
		api, seen = s.api.Impatient(), true // it is asked again anyway
		return show(found, err)
	})
}

// passing tells whether an error may be gone the next time.
func passing(err error) bool {
	switch client.Code(err) {
	case api.CodeSchedulerDown, api.CodeBusDown, api.CodeDatabaseDown:
		return true
	}
	return errors.Is(err, client.ErrUnreachable)
}

// repeatedly does something now and then each second, until ctx ends or it returns an error.
func repeatedly(ctx context.Context, do func() error) error {
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// documents prints what was found as data. What could not be found is said on stderr.
func (s *session) documents(q api.Queue, err error) error {
	if err != nil {
		PrintError(s.errw, err)
		return nil
	}
	return stream(s.view, q, func(api.Queue) string { return "" })
}

// screen draws something, such as a queue, on the same part of a terminal again and again.
type screen[T any] struct {
	canvas
	view *view
	show func(*sheet, T)
	size func() (width, height int)
	last T
}

func newScreen[T any](v *view, show func(*sheet, T)) *screen[T] {
	return &screen[T]{canvas: canvas{w: v.out}, view: v, show: show, size: func() (int, int) { return terminalSize(v.out) }}
}

// canvas is a part of a terminal that is drawn again and again.
type canvas struct {
	w     io.Writer
	width int // of the terminal when it was drawn
	drawn int // lines that stand there
}

// terminalSize is the size of the terminal that w is, as it is now.
func terminalSize(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width >= 20 && height >= 5 {
			return width, height
		}
	}
	return 80, 24
}

// draw puts what was found in the place of what was drawn before. When it could not be asked for, the last one stays,
// with the reason below it.
func (c *screen[T]) draw(found T, err error) error {
	if err == nil {
		c.last = found
	}
	var b bytes.Buffer
	width, height := c.size()
	v := *c.view
	v.out, v.width, v.now = &b, width, time.Now()
	if err := showOne(&v, c.last, c.show); err != nil {
		return err
	}
	if err != nil {
		fmt.Fprintf(&b, "%s %s; trying again\n", v.paint.bad("attune:"), oneLine(err.Error()))
	}
	return c.replace(fitting(b.String(), width, height-1), width)
}

// replace writes lines over those that were drawn before: the cursor goes up to the first one, each line clears
// what was left of the old one, and what is below is cleared at the end. On a terminal whose width has changed
// old lines are not where they were: all of it is cleared.
func (c *canvas) replace(lines []string, width int) error {
	var b strings.Builder
	switch {
	case c.drawn > 0 && c.width != width:
		b.WriteString("\x1b[H\x1b[2J")
	case c.drawn > 0:
		fmt.Fprintf(&b, "\x1b[%dF", c.drawn)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	c.drawn, c.width = len(lines), width
	_, err := io.WriteString(c.w, b.String())
	return err
}

// fitting cuts a text to a size: a line that wraps or scrolls would not be found again.
func fitting(text string, width, height int) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if over := len(lines) - height; over > 0 {
		lines = append(lines[:height-1], fmt.Sprintf("  … %d more lines", over+1))
	}
	for i, line := range lines {
		lines[i] = cut(line, width)
	}
	return lines
}
