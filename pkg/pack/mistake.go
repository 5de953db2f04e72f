package pack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong with a pack.
type Mistake struct {
	Code    Code   `json:"code"`             // of a table in docs/pack-checks.md
	File    string `json:"file"`             // slash-separated path within the pack
	Line    int    `json:"line,omitempty"`   // from 1; 0 when the file as a whole is meant
	Column  int    `json:"column,omitempty"` // from 1
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do, where the message does not say it
}

// String gives "file:line:column: message".
func (m Mistake) String() string {
	switch {
	case m.File == "":
		return m.Message
	case m.Line == 0:
		return fmt.Sprintf("%s: %s", m.File, m.Message)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
	}
}

// Mistakes is everything that is wrong with a pack, in the order of files and lines.
type Mistakes []Mistake

// Error gives one mistake a line.
func (ms Mistakes) Error() string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = m.String()
	}
	return strings.Join(texts, "\n")
}

// maxMistakes is how many mistakes are told; nobody reads more.
const maxMistakes = 1000

// sorted orders mistakes by place and drops those that are said twice.
func (ms Mistakes) sorted() Mistakes {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	ms = slices.Compact(ms)
	if more := len(ms) - maxMistakes; more > 0 {
		ms = append(ms[:maxMistakes], Mistake{Message: fmt.Sprintf("and %d more mistakes", more)})
	}
	return ms
}

// err gives the mistakes as an error, or nil when there are none.
func (ms Mistakes) err() error {
	if len(ms) == 0 {
		return nil
	}
	return ms.sorted()
}
