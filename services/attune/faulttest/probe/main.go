// Command probe is the action of the fault tests: it notes in the file of its group that it starts and that it
// ends, each on disk before it goes on, and does in between what its parameters say.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/attune/attune/services/attune/attunetest/checker"
)

// input is what the program reads from its standard input.
type input struct {
	Execution struct {
		Attempt int `json:"attempt"`
	} `json:"execution"`
	Parameters struct {
		N      int    `json:"n"`
		File   string `json:"file"`    // of its group
		HoldMS int    `json:"hold_ms"` // how long it runs
		Fail   int    `json:"fail"`    // up to which attempt it fails
	} `json:"parameters"`
}

var errWanted = errors.New("fails as it was told")

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	mark := checker.Mark{N: in.Parameters.N, Attempt: in.Execution.Attempt, PID: os.Getpid()}
	if err := write(in.Parameters.File, mark); err != nil {
		return err
	}
	<-time.After(time.Duration(in.Parameters.HoldMS) * time.Millisecond)
	mark.End = true
	if err := write(in.Parameters.File, mark); err != nil {
		return err
	}
	if in.Execution.Attempt <= in.Parameters.Fail {
		return errWanted
	}
	return nil
}

// write appends a line and returns when it is on disk.
func write(file string, m checker.Mark) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("note: %w", err)
	}
	m.At = time.Now()
	_, err = fmt.Fprintln(f, m.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("note: %w", err)
	}
	return nil
}
