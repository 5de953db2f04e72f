// Package checker judges what Attune did by what its actions noted themselves and by what its API says, and by
// nothing else: no stream, no table and no log of Attune is believed.
//
// An action appends a line to a file of its group when it starts and one before it ends, each on disk before it
// goes on. From these lines, the requests that were answered and the list of executions the checker finds
// inversions of order, more at once than the limit, repetitions that no policy allows, what is missing, and
// statuses that contradict what happened. A history without any of these gives no error.
package checker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

// History is all that is known of one queue: the executions of one action, or of one key of it.
type History struct {
	Limit      int           // how many may run at once
	Attempts   int           // how often one may be started; 0 means once
	Hold       bool          // the next attempt keeps its slot, so that nobody behind it passes
	Every      time.Duration // the time between two tokens of a rate with burst 1; 0: no rate
	Requests   []Request     // all that were answered, in the order in which they were made
	Marks      []Mark        // what the actions noted, in the order of the file
	Executions []Execution   // what the API says at the end
}

// Request is a request for an execution that was accepted.
type Request struct {
	N  int // the number that its action notes
	ID string
}

// Mark is a line that an action wrote.
type Mark struct {
	End     bool // before it ended; otherwise when it started
	N       int
	Attempt int
	At      time.Time
	PID     int
}

// Execution is what the API says of an execution.
type Execution struct {
	ID       string
	Status   streams.Status
	Attempt  int
	EndedAt  *time.Time
	Previous []streams.Attempt
}

// Of takes what the checker needs of an answer of the API.
func Of(x api.Execution) Execution {
	return Execution{ID: x.ID, Status: x.Status, Attempt: x.Attempt, EndedAt: x.EndedAt, Previous: x.Previous}
}

// String is the line of a mark.
func (m Mark) String() string {
	word := wordStart
	if m.End {
		word = wordEnd
	}
	return fmt.Sprintf("%s %d %d %d %d", word, m.N, m.Attempt, m.At.UnixNano(), m.PID)
}

const (
	wordStart = "start"
	wordEnd   = "end"
)

// ErrLine is returned for a line that no action wrote.
var ErrLine = errors.New("not a mark of an action")

// ParseMark reads a line.
func ParseMark(line string) (Mark, error) {
	var m Mark
	var word string
	var at int64
	if _, err := fmt.Sscanf(line, "%s %d %d %d %d", &word, &m.N, &m.Attempt, &at, &m.PID); err != nil {
		return Mark{}, fmt.Errorf("%q: %w: %w", line, ErrLine, err)
	}
	if word != wordStart && word != wordEnd {
		return Mark{}, fmt.Errorf("%q: %w", line, ErrLine)
	}
	m.End, m.At = word == wordEnd, time.Unix(0, at)
	return m, nil
}

// ReadMarks reads the file of a group. One that does not exist holds no marks. A last line without its end is one
// that is being written, which a file system may show in parts, and is left for the next reading.
func ReadMarks(file string) ([]Mark, error) {
	f, err := os.Open(file) //nolint:gosec // the caller's own file
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("marks: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	return readMarks(f)
}

func readMarks(r io.Reader) ([]Mark, error) {
	var marks []Mark
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return marks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("marks: %w", err)
		}
		m, err := ParseMark(line)
		if err != nil {
			return nil, err
		}
		marks = append(marks, m)
	}
}
