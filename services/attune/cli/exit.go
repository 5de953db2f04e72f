package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/config"
)

// Exit statuses.
const (
	ExitOK          = 0
	ExitFailed      = 1 // the command or the execution failed
	ExitUsage       = 2 // wrong arguments or configuration
	ExitTimedOut    = 3 // the execution timed out
	ExitCanceled    = 4 // the execution was canceled
	ExitLost        = 5 // the execution's runner was lost
	ExitUnknown     = 6 // following broke off before the execution ended
	ExitInterrupted = 130
)

// exitError is an error with an exit status of its own.
type exitError struct {
	err  error
	code int
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// WithExit gives an error the exit status that the program ends with.
func WithExit(err error, code int) error { return &exitError{err: err, code: code} }

// ExitCode is the exit status that an error stands for.
func ExitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, config.ErrBad):
		return ExitUsage
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	return ExitFailed
}

// hintedError is an error with what to do about it, one line each.
type hintedError struct {
	err   error
	hints []string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

func hinted(err error, hints ...string) error { return &hintedError{err: err, hints: hints} }

// PrintError says to a person what went wrong and what to do.
func PrintError(w io.Writer, err error) {
	if errors.Is(err, errQuiet) {
		return
	}
	p := newPaint(w)
	head, rest, _ := strings.Cut(clean(err.Error()), "\n")
	fmt.Fprintf(w, "%s %s\n", p.bad("attune:"), head)
	if rest != "" {
		fmt.Fprintln(w, rest)
	}
	for _, h := range hints(err) {
		fmt.Fprintln(w, p.dim("  "+clean(h)))
	}
}

// hints says what to do about an error.
func hints(err error) []string {
	var h *hintedError
	switch {
	case errors.As(err, &h):
		return h.hints
	case errors.Is(err, client.ErrUnreachable) && client.Code(err) == "": // what answered with a code is there
		return []string{"is it running? start it with: attune up", "see what is wrong with: attune doctor"}
	case client.Code(err) == api.CodeUnauthorized:
		return []string{"give the token of this API as ATTUNE_TOKEN, or name the data folder with --data"}
	}
	return nil
}
