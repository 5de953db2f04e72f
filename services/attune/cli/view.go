package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Formats of output.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatJSONL = "jsonl"
)

var formats = []string{formatTable, formatJSON, formatYAML, formatJSONL}

// view prints what a command found, in the format that was asked for.
type view struct {
	out    io.Writer
	notes  io.Writer // for what only a person needs: stderr
	format string
	paint  paint
	width  int // of the terminal; 0: no limit
	now    time.Time
}

func (a *app) view(c *cobra.Command) (*view, error) {
	if !slices.Contains(formats, a.output) {
		return nil, usageError(c, fmt.Errorf("--output %q: want one of %s", a.output, strings.Join(formats, ", ")))
	}
	out := c.OutOrStdout()
	return &view{
		out: out, notes: c.ErrOrStderr(), format: a.output, paint: newPaint(out), width: terminalWidth(out), now: time.Now(),
	}, nil
}

// person tells whether a person reads the output, who may be told more than the data.
func (v *view) person() bool { return v.format == formatTable && v.width > 0 }

// note says something to the person who reads the output; a script does not see it.
func (v *view) note(format string, args ...any) {
	if v.person() {
		fmt.Fprintln(v.notes, newPaint(v.notes).dim(fmt.Sprintf(format, args...)))
	}
}

// list prints things, as a table with these columns or as data. What says what there is none of.
func list[T any](v *view, things []T, what string, columns []column[T]) error {
	switch v.format {
	case formatJSON:
		return v.json(orEmpty(things))
	case formatYAML:
		return v.yaml(orEmpty(things))
	case formatJSONL:
		for _, t := range things {
			if err := v.jsonLine(t); err != nil {
				return err
			}
		}
		return nil
	}
	if len(things) == 0 {
		fmt.Fprintf(v.notes, "no %s\n", what)
		return nil
	}
	return table(v, things, columns)
}

// orEmpty makes an empty list of none, so that JSON has [] and not null.
func orEmpty[T any](things []T) []T {
	if things == nil {
		return []T{}
	}
	return things
}

// showOne prints one thing, as a sheet or as data.
func showOne[T any](v *view, thing T, fill func(*sheet, T)) error {
	if v.format != formatTable {
		return v.data(thing)
	}
	s := &sheet{view: v}
	fill(s, thing)
	return s.print()
}

// said prints the outcome of a command that changed something: a sentence, or the thing as data.
func (v *view) said(thing any, format string, args ...any) error {
	if v.format != formatTable {
		return v.data(thing)
	}
	_, err := fmt.Fprintln(v.out, clean(fmt.Sprintf(format, args...)))
	return err
}

func (v *view) data(thing any) error {
	switch v.format {
	case formatYAML:
		return v.yaml(thing)
	case formatJSONL:
		return v.jsonLine(thing)
	}
	return v.json(thing)
}

func (v *view) json(thing any) error {
	data, err := encode(thing)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return fmt.Errorf("print %T: %w", thing, err)
	}
	_, err = b.WriteTo(v.out)
	return err
}

func (v *view) jsonLine(thing any) error {
	data, err := encode(thing)
	if err != nil {
		return err
	}
	_, err = v.out.Write(data)
	return err
}

// encode gives a thing as one line of JSON, with its line feed.
func encode(thing any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(thing); err != nil {
		return nil, fmt.Errorf("print %T: %w", thing, err)
	}
	return b.Bytes(), nil
}

// stream prints things that come one by one: a line each, or a document each.
func stream[T any](v *view, thing T, line func(T) string) error {
	switch v.format {
	case formatJSON, formatJSONL:
		return v.jsonLine(thing)
	case formatYAML:
		if _, err := io.WriteString(v.out, "---\n"); err != nil {
			return err
		}
		return v.yaml(thing)
	}
	_, err := fmt.Fprintln(v.out, line(thing))
	return err
}
