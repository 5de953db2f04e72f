package api

import "time"

// Names of the server-sent events of a log. The id of each is stdout:OFFSET,stderr:OFFSET, where to go on behind it.
const (
	StreamedLog    = "log" // data: LogRecord
	StreamedLogEnd = "end" // nothing follows, and nothing will
)

// LogRecord is a line of a log, or a part of one that is long or was not ended yet. Either it has Text or Data, or bytes
// are missing in its place.
type LogRecord struct {
	Stream  string    `json:"stream" enum:"stdout,stderr"`
	Offset  int64     `json:"offset" doc:"Of the first byte, in its stream."`
	Time    time.Time `json:"time" doc:"When it was written, or a little before."`
	Text    string    `json:"text,omitempty" doc:"With the line's end."`
	Data    []byte    `json:"data,omitempty" doc:"In base64, where it is not UTF-8."`
	Missing int64     `json:"missing,omitempty" doc:"So many bytes cannot be read any more."`
}

// Bytes gives what was written.
func (r LogRecord) Bytes() []byte {
	if r.Data != nil {
		return r.Data
	}
	return []byte(r.Text)
}

// Next is the offset behind the record.
func (r LogRecord) Next() int64 { return r.Offset + int64(len(r.Text)+len(r.Data)) + r.Missing }
