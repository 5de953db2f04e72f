package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	ExitUnknown     = 6 // following ended before the execution did
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

// PrintError says to a person what went wrong.
func PrintError(w io.Writer, err error) {
	if errors.Is(err, errQuiet) {
		return
	}
	fmt.Fprintf(w, "attune: %v\n", err)
}
