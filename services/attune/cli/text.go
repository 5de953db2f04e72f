package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"github.com/attune/attune/streams"
)

// paint colours text for a terminal, or leaves it alone.
type paint struct{ on bool }

// newPaint colours what is written to a terminal, unless NO_COLOR or a dumb terminal forbids it.
func newPaint(w io.Writer) paint {
	f, ok := w.(*os.File)
	return paint{on: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p paint) render(s lipgloss.Style, text string) string {
	if !p.on {
		return text
	}
	return s.Render(text)
}

func (p paint) good(text string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Green), text)
}

func (p paint) bad(text string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Red), text)
}

func (p paint) warn(text string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Yellow), text)
}

func (p paint) busy(text string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Cyan), text)
}
func (p paint) dim(text string) string { return p.render(lipgloss.NewStyle().Faint(true), text) }

// status colours the status of an execution or event, the outcome of a decision, and yes or no.
func (p paint) status(text string) string {
	switch text {
	case string(streams.Succeeded), string(streams.Matched), string(streams.EventDecided), "yes", "ok":
		return p.good(text)
	case string(streams.Failed), string(streams.TimedOut), string(streams.Lost), string(streams.EventRejected), string(streams.Errored):
		return p.bad(text)
	case string(streams.Canceled), string(streams.Canceling), string(streams.Suppressed), string(streams.SensorBackoff), "paused", "warn":
		return p.warn(text)
	case string(streams.Running):
		return p.busy(text)
	}
	return text
}

// terminalWidth is the width of the terminal that w is, or 0.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		return 80
	}
	return width
}

// clean takes from a text what would command the terminal. Line feeds and tabs stay.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || (!unicode.IsControl(r) && r != unicode.ReplacementChar && !bidi(r)) {
			return r
		}
		return '�'
	}, text)
}

// bidi tells whether r changes the direction of the text around it, which makes a line read as what it is not.
func bidi(r rune) bool {
	return (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069)
}

// oneLine is clean, with line feeds and tabs made spaces.
func oneLine(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(clean(strings.TrimSpace(text)))
}

// ago says how long before now a time was.
func ago(now, t time.Time) string {
	if t.After(now) {
		return "now"
	}
	return age(now.Sub(t)) + " ago"
}

// age gives a duration in its largest unit, or its two largest where the first is small.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// took gives how long something took.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// seconds gives a number of seconds as a duration.
func seconds(s float64) string { return took(time.Duration(s * float64(time.Second))) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
