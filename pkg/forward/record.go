package forward

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/logging"
)

// Record is one line of output, or a piece of a long one, without its newline.
type Record struct {
	Log     string // the execution's id, or that of a sensor's or an installation's log
	Stream  string
	Offset  int64     // of its first byte in the stream
	Time    time.Time // when the first byte was read, or about then
	Text    []byte
	Partial bool // the line goes on, or did not end in time
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
		Stream    string    `json:"stream"`
		Offset    int64     `json:"offset"`
		Time      time.Time `json:"time"`
		Text      *string   `json:"text,omitempty"`
		Data      string    `json:"data,omitempty"` // base64, where the line is not UTF-8
		Partial   bool      `json:"partial,omitempty"`
	}{Stream: r.Stream, Offset: r.Offset, Time: r.Time, Partial: r.Partial}
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
