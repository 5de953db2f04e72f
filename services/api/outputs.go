package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
)

func (s *Server) routeLogs(a huma.API) {
	o := op(mayOne(access.View, access.Executions), http.MethodGet, "/executions/{id}/logs/{stream}", "read-log", "Executions",
		"Read what an execution wrote", http.StatusNotFound, http.StatusTooManyRequests)
	o.Description = "Plain bytes as they were written. The header Attune-Offset says where the answer begins in the whole output; " +
		"add what was received to it to resume. An answer that is cut off was not the end."
	register(s, a, o, s.readLog)
	documentAnswer(a, o, "text/plain")
}

type logInput struct {
	ByID
	Stream string `path:"stream" enum:"stdout,stderr"`
	Offset int64  `query:"offset" minimum:"0" doc:"First byte wanted"`
	Tail   int    `query:"tail" minimum:"0" maximum:"1000000" doc:"Only the last so many lines; 0 means all"`
	Follow bool   `query:"follow" doc:"Go on until the execution has ended"`
}

func (s *Server) readLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	if _, err := s.seen(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.streaming(s.serveLog(logs.Request{
		Execution: in.ID, Stream: in.Stream, Offset: in.Offset, Tail: in.Tail, Follow: in.Follow,
	})), nil
}

func (s *Server) serveLog(q logs.Request) func(context.Context, http.ResponseWriter, *http.Request) error {
	return func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		start, err := onBus(ctx, s, func(ctx context.Context) (int64, error) { return s.beginning(ctx, q) })
		if err != nil {
			return err
		}
		q.Offset, q.Tail = start, 0
		beginLog(w, start)
		if err := s.copyLog(ctx, w, q); err != nil {
			panic(http.ErrAbortHandler) // a clean end would say that this was all
		}
		return nil
	}
}

// beginning gives the offset of the first byte that will be sent.
func (s *Server) beginning(ctx context.Context, q logs.Request) (int64, error) {
	q.Follow = false
	for chunk, err := range s.logs.Read(ctx, q) {
		if errors.Is(err, logs.ErrBadRequest) {
			return 0, invalid("offset", "there is no such part of a log")
		}
		if err != nil {
			return 0, err
		}
		return chunk.Offset + chunk.Missing, nil
	}
	return q.Offset, nil
}

func (s *Server) copyLog(ctx context.Context, w http.ResponseWriter, q logs.Request) error {
	flush := http.NewResponseController(w).Flush
	if err := flush(); err != nil {
		return err
	}
	for chunk, err := range s.logs.Read(ctx, q) {
		if err != nil {
			return err
		}
		deadline(w, s.config.SlowClient)
		if _, err := w.Write(chunk.Text()); err != nil {
			return err
		}
		if q.Follow {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// beginLog begins the answer that is a log, from an offset on.
func beginLog(w http.ResponseWriter, start int64) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set(wire.HeaderOffset, strconv.FormatInt(start, 10))
	w.WriteHeader(http.StatusOK)
}
