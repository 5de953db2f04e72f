// Package builtin is the sensors that ship with Attune: files, HTTP pages, NATS subjects, PostgreSQL notifications and
// syslog.
//
// Each is a program under the contract of every sensor: it reads one JSON object from its standard input, writes one
// JSON event a line to its standard output and its log to its standard error output, and ends when it is asked to.
// The program is Attune itself, so nothing has to be installed for them. They guarantee bounded memory whatever they
// watch, and that a wrong configuration ends them with a line that says what is wrong.
package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	// ErrUnknown is returned for a name that no sensor has.
	ErrUnknown = errors.New("no such sensor")
	// ErrConfig is returned when a sensor's configuration is not usable.
	ErrConfig = errors.New("configuration is not usable")
)

// maxInput bounds what a sensor reads from its standard input.
const maxInput = 16 << 20

// sensors are the programs by the entry points that name them.
var sensors = map[string]func(context.Context, *stage) error{
	"files": watchFiles, "httppoll": pollHTTP, "nats": followNATS, "postgres": listenPostgres, "syslog": receiveSyslog,
}

// Names lists the sensors.
func Names() []string { return slices.Sorted(maps.Keys(sensors)) }

// Run becomes a sensor, until ctx ends or it cannot go on. What it keeps between its starts is in the folder dir.
func Run(ctx context.Context, name, dir string, in io.Reader, out, log io.Writer) error {
	run, known := sensors[name]
	if !known {
		return fmt.Errorf("%q: %w: want one of %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	s := &stage{dir: dir, out: out, log: log}
	if err := json.Unmarshal(text, &s.input); err != nil {
		return errors.New("read input: it is not the JSON object that a sensor gets") // without the cause, which may quote a secret
	}
	err = run(ctx, s)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// input is what a sensor gets.
type input struct {
	Config  json.RawMessage   `json:"config"`
	Secrets map[string]string `json:"secrets"`
}

// stage is what a sensor has of the world.
type stage struct {
	input
	dir string
	mu  sync.Mutex // held while a line is written
	out io.Writer
	log io.Writer
}

// config reads the configuration into one that has the defaults.
func (s *stage) config(into any) error {
	d := json.NewDecoder(bytes.NewReader(s.Config))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %s", ErrConfig, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// found is something that happened.
type found struct {
	Trigger string     `json:"trigger"`
	Payload any        `json:"payload"`
	ID      string     `json:"id,omitempty"` // "": nothing else can be the same event
	Time    *time.Time `json:"time,omitempty"`
}

// emit writes an event. While Attune takes none it waits.
func (s *stage) emit(f found) error {
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

// say writes a line to the sensor's log.
func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.log, time.Now().UTC().Format(time.RFC3339)+" "+format+"\n", args...)
}

// duration is a time in a configuration, such as "30s".
type duration time.Duration

// UnmarshalJSON reads it.
func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s: want a time such as \"30s\"", b)
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q: want a time such as 30s", text)
	}
	*d = duration(v)
	return nil
}

// jsonOr gives data as JSON when it is that, else as text.
func jsonOr(data []byte) any {
	if json.Valid(data) {
		return json.RawMessage(data)
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}

// wrong says what in a configuration is wrong.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrConfig, fmt.Errorf(format, args...))
}
