package forward

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// Record is one line of output, or a piece of a long one, without its newline.
type Record struct {
	Log     string // the execution's id, or that of a sensor's or an installation's log
	Stream  string
	Of      source    // whose log it is, where that is known
	Offset  int64     // of its first byte in the stream
	Time    time.Time // when the first byte was read, or about then
	Text    []byte
	Partial bool // the line goes on, or did not end in time
}

// source is whose log it is, and what kind of thing that is.
type source struct{ key, name string }

const (
	keyAction = logging.Action
	keySensor = "sensor"
	keyPack   = logging.Pack
)

var sourceHeaders = []struct{ header, key string }{
	{streams.HeaderAction, keyAction}, {streams.HeaderSensor, keySensor}, {streams.HeaderPack, keyPack},
}

// sourceOf reads what the writer of a message tells. One of a version before tells nothing.
func sourceOf(h nats.Header) source {
	for _, s := range sourceHeaders {
		if name := h.Get(s.header); name != "" {
			return source{key: s.key, name: strings.ToValidUTF8(name, "\uFFFD")} // no receiver takes another
		}
	}
	return source{}
}

// named gives the name of something of this kind.
func (s source) named(key string) string {
	if s.key != key {
		return ""
	}
	return s.name
}

// idKey is what the log's id is called: only that of an execution is one.
func (r Record) idKey() string {
	if uuid.Validate(r.Log) == nil {
		return logging.ExecutionID
	}
	return "log_id"
}

// appendJSON adds the record as a line of JSON.
func (r Record) appendJSON(to []byte) ([]byte, error) {
	line := struct {
		Execution string    `json:"execution_id,omitempty"`
		Log       string    `json:"log_id,omitempty"`
		Action    string    `json:"action,omitempty"`
		Sensor    string    `json:"sensor,omitempty"`
		Pack      string    `json:"pack,omitempty"`
		Stream    string    `json:"stream"`
		Offset    int64     `json:"offset"`
		Time      time.Time `json:"time"`
		Text      *string   `json:"text,omitempty"`
		Data      string    `json:"data,omitempty"` // base64, where the line is not UTF-8
		Partial   bool      `json:"partial,omitempty"`
	}{Action: r.Of.named(keyAction), Sensor: r.Of.named(keySensor), Pack: r.Of.named(keyPack), Stream: r.Stream, Offset: r.Offset, Time: r.Time, Partial: r.Partial}
	if r.idKey() == logging.ExecutionID {
		line.Execution = r.Log
	} else {
		line.Log = r.Log
	}
	if utf8.Valid(r.Text) {
		text := string(r.Text)
		line.Text = &text
	} else {
		line.Data = base64.StdEncoding.EncodeToString(r.Text)
	}
	b, err := json.Marshal(line)
	if err != nil {
		return to, err
	}
	return append(append(to, b...), '\n'), nil
}
