package expression

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
)

// ErrEvaluation is matched by every error of an evaluation: the expression does not fit the data.
var ErrEvaluation = errors.New("expression does not fit the data")

// ErrLimit is matched when an evaluation was stopped because it took too long or grew too large.
var ErrLimit = errors.New("expression exceeds its limits")

// Mistake is one thing that is wrong with an expression's text.
type Mistake struct {
	Path    string // within a template: "hosts.3.name"; otherwise ""
	Line    int    // within the text, from 1
	Column  int    // in characters, from 1
	Message string
}

// Mistakes is everything that is wrong with an expression's text: the error of NewCriteria, NewTemplate and NewKey.
type Mistakes []Mistake

// Error gives the mistakes, separated by semicolons.
func (ms Mistakes) Error() string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = m.String()
	}
	return strings.Join(texts, "; ")
}

// String gives "path: line:column: message".
func (m Mistake) String() string {
	text := fmt.Sprintf("%d:%d: %s", m.Line, m.Column, m.Message)
	if m.Path == "" {
		return text
	}
	return m.Path + ": " + text
}

// mistakesOf makes CEL's list of issues ours. It reports only the first line of each.
func mistakesOf(issues *cel.Issues) Mistakes {
	var ms Mistakes
	for _, e := range issues.Errors() {
		message, _, _ := strings.Cut(e.Message, "\n")
		message = strings.ReplaceAll(message, " (in container '')", "")
		if strings.HasPrefix(message, "undeclared reference to '"+variableSecrets+"'") {
			message = secretsUse
		}
		ms = append(ms, Mistake{Line: max(e.Location.Line(), 1), Column: max(e.Location.Column(), 0) + 1, Message: message})
	}
	return ms
}

// evaluationError words CEL's error and says what kind it is.
func evaluationError(text string, err error) error {
	message := err.Error()
	class := ErrEvaluation
	if strings.Contains(message, "cost limit exceeded") || strings.Contains(message, "operation interrupted") ||
		strings.Contains(message, errTooLarge) {
		class = ErrLimit
	}
	return &evaluation{class: class, message: clip(text, maxQuoted) + ": " + clip(message, maxQuoted)}
}

type evaluation struct {
	class   error
	message string
}

func (e *evaluation) Error() string        { return e.message }
func (e *evaluation) Is(target error) bool { return target == e.class }

// maxQuoted bounds how much of an expression or value a message repeats, in bytes.
const maxQuoted = 300

// clip shortens s to about n bytes at a character's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
