// Package logging makes the services' logger and names the keys that log lines share.
//
// On a terminal lines are coloured text, elsewhere text or JSON as configured. Messages are constant; what
// varies stands in attributes under these keys, so that lines of all services can be searched alike.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Keys of attributes.
const (
	Service     = "service"
	ExecutionID = "execution_id"
	EventID     = "event_id"
	Action      = "action"
	Trigger     = "trigger"
	Rule        = "rule"
	Pack        = "pack"
	Queue       = "queue"
	Runner      = "runner"
	Attempt     = "attempt"
	Status      = "status"
	Error       = "error"
)

// Formats of log lines.
const (
	FormatAuto = "auto" // coloured text on a terminal, plain text elsewhere
	FormatText = "text"
	FormatJSON = "json"
)

// New makes a logger that writes to w. Level is debug, info, warn or error; format is one of the formats.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	switch strings.ToLower(format) {
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
	case FormatAuto, FormatText:
		opts := &tint.Options{Level: l, TimeFormat: time.TimeOnly + ".000", NoColor: format == FormatText || !isTerminal(w)}
		return slog.New(tint.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want auto, text or json", format)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
