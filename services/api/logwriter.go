package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
)

// maxRecord is how much of a log one record holds at most.
const maxRecord = 64 << 10

// lineWriter sends pieces of a log.
type lineWriter struct {
	media  string
	out    *patient
	buffer *bufio.Writer // to out
	follow bool
	begun  bool
	last   logs.Position // of which the client knows
	say    func(logs.Piece) error
}

func (s *Server) lineWriter(w http.ResponseWriter, media string, follow bool) *lineWriter {
	o := &lineWriter{media: media, out: &patient{w: w, patience: s.config.SlowClient}, follow: follow}
	o.buffer = bufio.NewWriterSize(o.out, writeBytes)
	o.say = map[string]func(logs.Piece) error{mediaText: o.text, mediaRecords: o.records, mediaEvents: o.events}[media]
	return o
}

// nothing is the answer of a log in which nothing is.
func (o *lineWriter) nothing() error {
	o.begin()
	return o.end()
}

func (o *lineWriter) begin() {
	h := o.out.w.Header()
	if h.Set("Content-Type", o.media); o.media == mediaText {
		h.Set("Content-Type", mediaText+"; charset=utf-8")
	}
	h.Set("X-Accel-Buffering", "no") // proxies
	o.out.w.WriteHeader(http.StatusOK)
	o.begun = true
}

// piece sends a piece, at once when nothing else is at hand.
func (o *lineWriter) piece(p logs.Piece) error {
	if err := o.say(p); err != nil {
		return err
	}
	if o.last = p.Behind; o.follow && p.Last {
		return o.flush()
	}
	return nil
}

func (o *lineWriter) flush() error {
	if err := o.buffer.Flush(); err != nil {
		return err
	}
	return o.out.Flush()
}

func (o *lineWriter) end() error {
	if o.media == mediaEvents {
		fmt.Fprintf(o.buffer, "id: %s\nevent: %s\ndata: {}\n\n", o.last, wire.StreamedLogEnd)
	}
	return o.flush()
}

func (o *lineWriter) text(p logs.Piece) error {
	text := p.Data
	if p.Missing > 0 {
		text = fmt.Appendf(nil, "[attune: bytes %d to %d of %s are missing]\n", p.Offset, p.Next()-1, p.Stream)
	}
	_, err := o.buffer.Write(text)
	return err
}

func (o *lineWriter) records(p logs.Piece) error {
	for r := range recordsOf(p) {
		if err := o.json(r); err != nil {
			return err
		}
	}
	return nil
}

// events sends a piece as server-sent events. Without anything in it, it says that the log goes on, and where.
func (o *lineWriter) events(p logs.Piece) error {
	if p.Stream == "" {
		_, err := fmt.Fprintf(o.buffer, ": still here\nid: %s\n\n", p.Behind)
		return err
	}
	behind := p.Behind
	for r := range recordsOf(p) {
		behind.Set(p.Stream, r.Next())
		fmt.Fprintf(o.buffer, "id: %s\nevent: %s\ndata: ", behind, wire.StreamedLog)
		if err := o.json(r); err != nil {
			return err
		}
		if err := o.buffer.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (o *lineWriter) json(r wire.LogRecord) error {
	e := json.NewEncoder(o.buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("encode a record of %s at %d: %w", r.Stream, r.Offset, err)
	}
	return nil
}

// recordsOf gives the lines of a piece.
func recordsOf(p logs.Piece) func(func(wire.LogRecord) bool) {
	return func(yield func(wire.LogRecord) bool) {
		if p.Missing > 0 {
			yield(wire.LogRecord{Stream: p.Stream, Offset: p.Offset, Time: p.Time, Missing: p.Missing})
			return
		}
		offset := p.Offset
		for data := p.Data; len(data) > 0; {
			n := recordEnd(data)
			r := wire.LogRecord{Stream: p.Stream, Offset: offset, Time: p.Time}
			if line := data[:n]; utf8.Valid(line) {
				r.Text = string(line)
			} else {
				r.Data = line
			}
			if !yield(r) {
				return
			}
			data, offset = data[n:], offset+int64(n)
		}
	}
}

// recordEnd gives the length of a record: a line, or as much of a long one as one holds, without cutting a character.
func recordEnd(data []byte) int {
	window := data[:min(len(data), maxRecord)]
	if i := bytes.IndexByte(window, '\n'); i >= 0 {
		return i + 1
	}
	if len(window) == len(data) {
		return len(data)
	}
	for n := len(window); n > len(window)-utf8.UTFMax; n-- {
		if utf8.RuneStart(data[n]) {
			return n
		}
	}
	return len(window)
}
