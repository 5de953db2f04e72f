package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
)

func (s *Server) routeMergedLogs(a huma.API) {
	o := op(mayOne(access.View, access.Executions), http.MethodGet, "/executions/{id}/logs", "read-logs", "Executions",
		"Read what an execution wrote, its streams together as they were written", http.StatusNotFound, http.StatusGone, http.StatusNotAcceptable, http.StatusTooManyRequests)
	o.Description = "As text; as records, one line of JSON each (LogRecord); or as server-sent events named log, with such a record each, and a last one named end. " +
		"An event's id says where to go on behind it, stdout:OFFSET,stderr:OFFSET; with Last-Event-ID the answer goes on exactly there. Records hold a line, or a " +
		"part of one that is long or was not ended yet. What is stored is in the order of its times; what is being written is as it comes, within " +
		"20 ms in the order of its times. Bytes that are lost are said to be missing in their place. An answer that is cut off was not the end."
	register(s, a, o, s.readLogs)
	documentAnswer(a, o, mediaText, mediaRecords, mediaEvents)
}

// How streams of a log may be read together.
const (
	mediaText    = "text/plain"
	mediaRecords = "application/jsonl"
	mediaEvents  = "text/event-stream"
)

type mergedLogInput struct {
	ByID
	Resume
	LogChoice
	Accept string `header:"Accept" doc:"text/plain, application/jsonl or text/event-stream"`
	Stream string `query:"stream" enum:"stdout,stderr" doc:"Only this one"`
	Stdout int64  `query:"stdout" minimum:"0" doc:"First byte wanted of stdout"`
	Stderr int64  `query:"stderr" minimum:"0" doc:"First byte wanted of stderr"`
}

func (s *Server) readLogs(ctx context.Context, in *mergedLogInput) (*huma.StreamResponse, error) {
	e, err := s.seen(ctx, in.ID)
	if err == nil {
		err = logGone(e)
	}
	if err != nil {
		return nil, err
	}
	q, err := in.request()
	if err != nil {
		return nil, err
	}
	media := preferred(in.Accept, mediaText, mediaRecords, mediaEvents)
	if media == "" {
		return nil, unreadable()
	}
	return s.streaming(s.serveLines(q, media)), nil
}

func (in *mergedLogInput) request() (q logs.MergeRequest, err error) {
	q = logs.MergeRequest{
		Execution: in.ID, From: logs.Position{Stdout: in.Stdout, Stderr: in.Stderr}, Tail: in.Tail, Follow: in.Follow, Beat: heartbeat,
	}
	if in.Stream != "" {
		q.Streams = []string{in.Stream}
	}
	if in.Tail > maxMergedTail {
		return q, tooLongTail()
	}
	if q.Since, err = in.moment(); err != nil {
		return q, err
	}
	if q.Grep, err = in.expression(); err != nil {
		return q, err
	}
	return in.behind(q)
}

// behind has a request go on behind the event that the client saw last, if it saw one.
func (r Resume) behind(q logs.MergeRequest) (logs.MergeRequest, error) {
	if r.LastID == "" {
		return q, nil
	}
	from, err := logs.ParsePosition(r.LastID)
	if err != nil {
		return q, invalid(wire.HeaderLastEventID, "is not an id that this stream gave out")
	}
	q.From, q.Tail, q.Since = from, 0, time.Time{} // they said where to begin
	return q, nil
}

func unreadable() error {
	return problem(http.StatusNotAcceptable, wire.CodeNotAcceptable, "logs are text/plain, application/jsonl or text/event-stream")
}

// maxMergedTail bounds how many lines are remembered to find the last of them, where a log is read line by line.
const maxMergedTail = 100_000

func tooLongTail() error {
	return invalid("tail", fmt.Sprintf("want at most %d, line by line", maxMergedTail))
}

// serveLines answers with streams of a log line by line.
func (s *Server) serveLines(q logs.MergeRequest, media string) func(context.Context, http.ResponseWriter, *http.Request) error {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
		if err := s.awaitBus(ctx); err != nil {
			return err
		}
		out := s.lineWriter(w, media, q.Follow)
		for p, err := range s.logs.Merge(ctx, q) {
			if err == nil && !out.begun {
				out.begin()
				if r.Method == http.MethodHead {
					return nil
				}
			}
			if err == nil {
				err = out.piece(p)
			}
			switch {
			case err != nil && !out.begun:
				return badPart(inTime(err))
			case err != nil:
				panic(http.ErrAbortHandler) // a clean end would say that this was all
			}
		}
		if err := errors.Join(ctx.Err(), out.end()); err != nil {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// inTime tells the silence of NATS from that of others.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errBusTimeout, err)
	}
	return err
}
