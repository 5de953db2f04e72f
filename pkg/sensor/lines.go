package sensor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
)

// MaxLine is the longest line that a sensor may write.
const MaxLine = event.MaxPayload

// keepLine is how much memory the splitter keeps between lines.
const keepLine = 64 << 10

// splitter cuts output into lines, however it comes. It holds one line, and no more of it than MaxLine.
type splitter struct {
	line  func([]byte) error // takes a line without its end; what it is given is valid until it returns
	long  func()             // told of a line that is longer than MaxLine
	buf   []byte
	over  bool // the line that is being read is too long
	begun bool // something of a line is there
}

// Write takes output. Its error is that of line.
func (s *splitter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte{'\n'})
		s.keep(part)
		rest = after
		if !ended {
			break
		}
		if err := s.end(); err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

func (s *splitter) keep(part []byte) {
	s.begun = s.begun || len(part) > 0
	if s.over = s.over || len(s.buf)+len(part) > MaxLine; s.over {
		s.buf = nil
		return
	}
	s.buf = append(s.buf, part...)
}

// end hands a line on. The last one of all output need not have an end of its own.
func (s *splitter) end() error {
	over, line := s.over, s.buf
	s.over, s.begun, s.buf = false, false, s.buf[:0]
	if cap(s.buf) > keepLine {
		s.buf = nil
	}
	if over {
		s.long()
		return nil
	}
	return s.line(line)
}

// close hands on a last line that was not ended.
func (s *splitter) close() error {
	if !s.begun {
		return nil
	}
	return s.end()
}

// report is what a line says.
type report struct {
	Trigger string          `json:"trigger"`
	Payload json.RawMessage `json:"payload"`
	ID      string          `json:"id"`
	Time    *time.Time      `json:"time"`
}

// maxID bounds an id that a sensor gives.
const maxID = 512

// parseLine makes an event of a line of a sensor, or tells what is wrong with it.
func parseLine(line []byte, sensor pack.Ref, triggers []string) (event.New, error) {
	fields, err := strictjson.ParseObject(line)
	if err != nil {
		return event.New{}, err
	}
	for name := range fields {
		if !slices.Contains([]string{"trigger", "payload", "id", "time"}, name) {
			return event.New{}, fmt.Errorf("%.40q is not known: want trigger, payload, id and time", name)
		}
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		return event.New{}, plain(err)
	}
	name := strings.TrimPrefix(r.Trigger, sensor.Pack+".")
	switch {
	case r.Trigger == "":
		return event.New{}, fmt.Errorf("trigger is missing: want one of %s", strings.Join(triggers, ", "))
	case !slices.Contains(triggers, name):
		return event.New{}, fmt.Errorf("trigger %.80q is none of this sensor's: want one of %s", r.Trigger, strings.Join(triggers, ", "))
	case len(r.ID) > maxID:
		return event.New{}, fmt.Errorf("id has %d bytes, at most %d", len(r.ID), maxID)
	}
	return r.event(sensor, pack.Ref{Pack: sensor.Pack, Name: name}), nil
}

// plain says what of a line has the wrong type.
func plain(err error) error {
	text := strings.TrimPrefix(err.Error(), "json: ")
	return fmt.Errorf("trigger and id are text, time is as in RFC 3339: %s", text)
}

func (r report) event(sensor, trigger pack.Ref) event.New {
	n := event.New{ID: event.NewID(), Trigger: trigger.String(), Payload: r.Payload, Source: "sensor:" + sensor.String(), Time: time.Now()}
	if r.ID != "" {
		n.ID = event.DeriveID("sensor", sensor.String(), trigger.Name, r.ID)
	}
	if len(r.Payload) == 0 {
		n.Payload = json.RawMessage("{}")
	}
	if r.Time != nil {
		n.Time = *r.Time
	}
	return n
}
