package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func (s *Server) routeSensorLogs(a huma.API) {
	o := op(mayAt(access.View, access.Sensors, "ref", "sensor"), http.MethodGet, "/sensors/{ref}/logs", "read-sensor-log", "Sensors", "Read the log of a sensor: what it wrote to its standard error output",
		http.StatusNotFound, http.StatusNotAcceptable, http.StatusTooManyRequests)
	o.Description = "The log of one start, by default the last one; the header Attune-Log names it. Following ends with the start. " + logNote +
		" As records or events it is answered line by line, as /executions/{id}/logs is; an event's id is good for that log only."
	register(s, a, o, s.readSensorLog)
	documentLog(a, o, mediaRecords, mediaEvents)
}

type sensorLogInput struct {
	ByRef
	Resume
	Accept string `header:"Accept" doc:"text/plain, application/jsonl or text/event-stream"`
	Log    string `query:"log" doc:"Of this start: log, or one of logs, of the sensor; the last one when absent"`
	LogPart
}

func (s *Server) readSensorLog(ctx context.Context, in *sensorLogInput) (*huma.StreamResponse, error) {
	x, err := s.sensor(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	media := preferred(in.Accept, mediaText, mediaRecords, mediaEvents)
	if media == "" {
		return nil, unreadable()
	}
	id := textOr(in.Log, x.Log)
	if in.Log != "" && in.Log != x.Log && !slices.Contains(x.Logs, in.Log) {
		return nil, notFound("log", in.Log)
	}
	if id == "" { // it was never started
		return s.streaming(func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			return s.lineWriter(w, media, false).nothing()
		}), nil
	}
	serve, err := s.sensorLog(in, id, media)
	if err != nil {
		return nil, err
	}
	return s.streaming(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set(wire.HeaderLog, id)
		return serve(ctx, w, r)
	}), nil
}

// sensorLog answers with the log of a start: its bytes, or line by line.
func (s *Server) sensorLog(in *sensorLogInput, id, media string) (func(context.Context, http.ResponseWriter, *http.Request) error, error) {
	l, err := in.of(id, logs.Stderr, func(ctx context.Context) (bool, error) { return s.logEnded(ctx, in.Ref, id) })
	if err != nil || media == mediaText {
		return s.serveLog(l), err
	}
	if in.Tail > maxMergedTail {
		return nil, tooLongTail()
	}
	q, err := in.behind(l.lines())
	return s.serveLines(q, media), err
}

// logEnded tells whether nothing more is written to a log of a sensor.
func (s *Server) logEnded(ctx context.Context, text, id string) (bool, error) {
	ref, err := pack.ParseRef(text)
	if err != nil {
		return true, nil
	}
	live, err := onBus(ctx, s, func(ctx context.Context) (liveSensors, error) { return s.liveSensors(ctx, ref.String()) })
	if err != nil {
		return false, err
	}
	st := live.states[ref.String()]
	writing := st.Status == streams.SensorStarting || st.Status == streams.SensorRunning
	return st.Log != id || !writing || !live.hosts[st.Owner], nil
}
