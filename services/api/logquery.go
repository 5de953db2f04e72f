package api

import (
	"context"
	"regexp"
	"regexp/syntax"
	"time"

	"github.com/attune/attune/pkg/logs"
)

// LogChoice says which lines of a log are wanted.
type LogChoice struct {
	Tail   int    `query:"tail" minimum:"0" maximum:"1000000" doc:"Only the last so many lines; 0 means all"`
	Since  string `query:"since" doc:"Only what was written since then: a time, or how long ago"`
	Grep   string `query:"grep" maxLength:"1000" doc:"Of these lines only the ones that match: an expression of RE2. A line longer than 64 KiB is matched by its beginning"`
	Follow bool   `query:"follow" doc:"Go on until nothing more will be written"`
}

// LogPart says which part of one stream is wanted.
type LogPart struct {
	LogChoice
	Offset  int64  `query:"offset" minimum:"0" doc:"First byte wanted"`
	Range   string `header:"Range" doc:"Bytes wanted, such as bytes=100-, bytes=100-199 or bytes=-100. It counts where nothing else narrows the log"`
	IfRange string `header:"If-Range" doc:"Range counts only if this is the ETag of the log"`
}

// maxSteps bounds how much is tried at each byte of a line.
const maxSteps = 1000

// expression reads grep.
func (c LogChoice) expression() (*regexp.Regexp, error) {
	if c.Grep == "" {
		return nil, nil //nolint:nilnil // without an expression all lines are wanted
	}
	parsed, err := syntax.Parse(c.Grep, syntax.Perl)
	if err != nil {
		return nil, invalid("grep", "is no expression of RE2")
	}
	if program, err := syntax.Compile(parsed.Simplify()); err != nil || len(program.Inst) > maxSteps {
		return nil, invalid("grep", "is too costly to match")
	}
	re, err := regexp.Compile(c.Grep)
	if err != nil {
		return nil, invalid("grep", "is no expression of RE2")
	}
	return re, nil
}

// moment reads since. What is written from now on is always wanted.
func (c LogChoice) moment() (time.Time, error) {
	t, err := moment("since", c.Since)
	if now := time.Now(); t.After(now) {
		t = now
	}
	return t, err
}

// whole tells whether nothing but a Range narrows the log.
func (p LogPart) whole() bool { return p.Offset == 0 && p.Tail == 0 && p.Since == "" && p.Grep == "" }

// logOf is one stream of a log, and what is wanted of it.
type logOf struct {
	id, stream string
	LogPart
	since time.Time
	grep  *regexp.Regexp
	ended func(context.Context) (bool, error) // nil for an execution's
}

// of checks what is wanted of a stream.
func (p LogPart) of(id, stream string, ended func(context.Context) (bool, error)) (l logOf, err error) {
	l = logOf{id: id, stream: stream, LogPart: p, ended: ended}
	if l.since, err = p.moment(); err != nil {
		return l, err
	}
	l.grep, err = p.expression()
	return l, err
}

func (l logOf) request() logs.Request {
	return logs.Request{Execution: l.id, Stream: l.stream, Offset: l.Offset, Tail: l.Tail, Since: l.since, Ended: l.ended}
}

func (l logOf) lines() logs.MergeRequest {
	r := logs.MergeRequest{
		Execution: l.id, Streams: []string{l.stream}, Tail: l.Tail, Since: l.since, Grep: l.grep, Follow: l.Follow, Beat: heartbeat, Ended: l.ended,
	}
	r.From.Set(l.stream, l.Offset)
	return r
}
