package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// sheet is one thing shown whole: a line for each field that has a value, then what needs more room.
type sheet struct {
	*view
	fields []field
	blocks []field
}

type field struct{ name, value string }

// field adds a field. Without a value it is left out.
func (s *sheet) field(name, value string) {
	if value != "" {
		s.fields = append(s.fields, field{name, oneLine(value)})
	}
}

// painted adds a field whose value has a colour.
func (s *sheet) painted(name, value string, colour func(paint, string) string) {
	if value != "" {
		s.fields = append(s.fields, field{name, colour(s.paint, oneLine(value))})
	}
}

// time adds a field with a time, and how long ago that is.
func (s *sheet) time(name string, t *time.Time) {
	if t != nil && !t.IsZero() {
		s.field(name, t.Format(time.RFC3339Nano)+"  ("+ago(s.now, *t)+")")
	}
}

// text adds a block of text.
func (s *sheet) text(name, value string) {
	if value != "" {
		s.blocks = append(s.blocks, field{name, clean(strings.TrimRight(value, "\n"))})
	}
}

// json adds a block of JSON, indented.
func (s *sheet) json(name string, value json.RawMessage) {
	if len(value) == 0 {
		return
	}
	var b bytes.Buffer
	if json.Indent(&b, value, "", "  ") != nil {
		b.Reset()
		b.Write(value)
	}
	s.text(name, b.String())
}

// value adds a block with a thing as JSON.
func (s *sheet) value(name string, thing any) {
	if data, err := encode(thing); err == nil {
		s.json(name, bytes.TrimSpace(data))
	}
}

// items adds a block with a table.
func items[T any](s *sheet, name string, things []T, columns []column[T]) {
	if len(things) == 0 {
		return
	}
	var b strings.Builder
	inner := *s.view
	inner.out = &b
	if inner.width > 0 {
		inner.width -= len(indentation)
	}
	if table(&inner, things, columns) == nil { // a strings.Builder takes everything
		s.blocks = append(s.blocks, field{name, strings.TrimRight(b.String(), "\n")})
	}
}

const indentation = "  "

func (s *sheet) print() error {
	var b strings.Builder
	width := 0
	for _, f := range s.fields {
		width = max(width, lipgloss.Width(f.name))
	}
	for _, f := range s.fields {
		b.WriteString(s.paint.dim(f.name) + strings.Repeat(" ", width-lipgloss.Width(f.name)) + gap + f.value + "\n")
	}
	for _, f := range s.blocks {
		b.WriteString(s.paint.dim(f.name) + "\n" + indentation + strings.ReplaceAll(f.value, "\n", "\n"+indentation) + "\n")
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}
