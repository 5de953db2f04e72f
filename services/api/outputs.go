package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
)

func (s *Server) routeLogs(a huma.API) {
	o := op(mayOne(access.View, access.Executions), http.MethodGet, "/executions/{id}/logs/{stream}", "read-log", "Executions",
		"Read what an execution wrote to one of its streams", http.StatusNotFound, http.StatusGone, http.StatusTooManyRequests)
	o.Description = logNote
	register(s, a, o, s.readLog)
	documentLog(a, o)
	s.routeMergedLogs(a)
}

// logNote is what holds for all logs.
const logNote = "Plain bytes as they were written. The header Attune-Offset says where the answer begins in the whole log; " +
	"add what was received to it to resume, also when bytes are missing: a line that says so, drawn out with blanks, takes their place. " +
	"Range is understood and answered as RFC 9110 has it; while the log grows nobody knows its length, and with follow the answer has no end (RFC 8673). " +
	"A complete log has an ETag. HEAD tells the length. An answer that is cut off was not the end. With grep lines are left out, and offsets do not count."

// documentLog describes the answers of a log, which is bytes, and lines in what other forms there are.
func documentLog(a huma.API, o huma.Operation, lines ...string) {
	documentAnswer(a, o, append([]string{mediaText}, lines...)...)
	described := operation(a, o)
	described.Responses[strconv.Itoa(http.StatusPartialContent)] = &huma.Response{
		Description: "The bytes that Content-Range names",
		Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	described.Responses[strconv.Itoa(http.StatusRequestedRangeNotSatisfiable)] = &huma.Response{Description: "There are no such bytes; Content-Range names how many there are"}
}

type logInput struct {
	ByID
	Stream string `path:"stream" enum:"stdout,stderr"`
	LogPart
}

func (s *Server) readLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	e, err := s.seen(ctx, in.ID)
	if err == nil {
		err = logGone(e)
	}
	if err != nil {
		return nil, err
	}
	l, err := in.of(in.ID, in.Stream, nil)
	if err != nil {
		return nil, err
	}
	return s.streaming(s.serveLog(l)), nil
}

// serveLog answers with one stream of a log.
func (s *Server) serveLog(l logOf) func(context.Context, http.ResponseWriter, *http.Request) error {
	if l.grep != nil {
		return s.serveLines(l.lines(), "text/plain")
	}
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
		e, err := onBus(ctx, s, func(ctx context.Context) (logs.Extent, error) { return s.logs.Extent(ctx, l.request()) })
		if err != nil {
			return badPart(err)
		}
		q, status := l.answer(e, w.Header())
		if status == http.StatusRequestedRangeNotSatisfiable {
			return problem(status, wire.CodeNoSuchRange, fmt.Sprintf("there are no such bytes: the log has %d", e.Bytes))
		}
		w.WriteHeader(status)
		if r.Method == http.MethodHead {
			return nil
		}
		if err := s.copyLog(ctx, w, q); err != nil {
			panic(http.ErrAbortHandler) // a clean end would say that this was all
		}
		return nil
	}
}

func badPart(err error) error {
	if errors.Is(err, logs.ErrBadRequest) {
		return invalid("offset", "there is no such part of a log")
	}
	return err
}

// answer begins the answer to who asks for a log that is there to some extent, and says what is to be read for it.
func (l logOf) answer(e logs.Extent, h http.Header) (q logs.Request, status int) {
	start, end, status := e.Start, e.Bytes, http.StatusOK
	live := l.Follow && !e.Complete
	if l.whole() {
		h.Set("Accept-Ranges", "bytes")
		if e.Complete {
			h.Set("ETag", strconv.Quote(e.Tag))
		}
		if r, ok := parseRange(l.Range); ok && (l.IfRange == "" || e.Complete && l.IfRange == strconv.Quote(e.Tag)) {
			start, end, status = r.answer(e, live)
			h.Set("Content-Range", contentRange(start, end, e))
		}
	}
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(e.Bytes, 10))
		return q, status
	}
	q = logs.Request{Execution: l.id, Stream: l.stream, Offset: start, Follow: live, Ended: l.ended}
	if !live || status == http.StatusPartialContent {
		q.End = end
	}
	if !live {
		h.Set("Content-Length", strconv.FormatInt(max(end-start, 0), 10))
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set(wire.HeaderOffset, strconv.FormatInt(start, 10))
	return q, status
}

// answer says which bytes are sent to who asks for a range. Where a log is followed it may lie ahead.
func (r byteRange) answer(e logs.Extent, live bool) (start, end int64, status int) {
	start, end, ok := r.within(e.Bytes)
	switch {
	case live && r.suffix:
		return start, endless + 1, http.StatusPartialContent
	case live:
		return min(r.first, endless), min(r.last, endless) + 1, http.StatusPartialContent
	case ok:
		return start, end, http.StatusPartialContent
	}
	return 0, 0, http.StatusRequestedRangeNotSatisfiable
}

// copyLog sends bytes as long as there are any, each in its place.
func (s *Server) copyLog(ctx context.Context, w http.ResponseWriter, q logs.Request) error {
	out := &patient{w: w, patience: s.config.SlowClient}
	if q.End <= q.Offset && !q.Follow {
		return nil
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for chunk, err := range s.logs.Read(ctx, q) {
		if err != nil {
			return err
		}
		if _, err := chunk.WriteTo(out); err != nil {
			return err
		}
		if q.Follow {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// patient writes to a client that must take some of it within a time, and not all.
type patient struct {
	w        http.ResponseWriter
	patience time.Duration
}

const writeBytes = 32 << 10

func (p *patient) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		n := 0
		deadline(p.w, p.patience)
		n, err = p.w.Write(b[:min(len(b), writeBytes)])
		written, b = written+n, b[n:]
	}
	return written, err
}

func (p *patient) Flush() error {
	deadline(p.w, p.patience)
	return http.NewResponseController(p.w).Flush()
}
