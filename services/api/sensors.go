package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/sensor"
	"github.com/attune/attune/streams"
)

func (s *Server) routeSensors(a huma.API) {
	register(s, a, op(mayList(access.View, access.Sensors), http.MethodGet, "/sensors", "list-sensors", "Sensors", "List sensors, with what they do"), s.listSensors)
	register(s, a, op(mayAt(access.View, access.Sensors, "ref", "sensor"), http.MethodGet, "/sensors/{ref}", "show-sensor", "Sensors", "Show a sensor, with what it does", http.StatusNotFound), s.showSensor)
	register(s, a, op(mayAt(access.Operate, access.Sensors, "ref", "sensor"), http.MethodPost, "/sensors/{ref}/restart", "restart-sensor", "Sensors", "Start a sensor again",
		http.StatusNotFound, http.StatusConflict), s.restartSensor)
	s.routeSensorLogs(a)
}

func (s *Server) listSensors(ctx context.Context, in *PackFilter) (*reply[wire.Page[wire.Sensor]], error) {
	live, err := onBus(ctx, s, func(ctx context.Context) (liveSensors, error) { return s.liveSensors(ctx, ">") })
	if err != nil {
		return nil, err
	}
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	show := func(ref pack.Ref, d definitions.Sensor) wire.Sensor { return live.show(v.Snapshot, ref, d) }
	return listOf(s, s.reach(ctx, access.View, access.Sensors), in, func(v *view) map[pack.Ref]definitions.Sensor { return v.Sensors }, show, func(x wire.Sensor) string { return x.Ref })
}

func (s *Server) showSensor(ctx context.Context, in *ByRef) (*reply[wire.Sensor], error) {
	x, err := s.sensor(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return answer(x), nil
}

func (s *Server) sensor(ctx context.Context, text string) (wire.Sensor, error) {
	v, err := s.defs.view()
	if err != nil {
		return wire.Sensor{}, err
	}
	ref, err := pack.ParseRef(text)
	d, known := v.Sensors[ref]
	if err != nil || !known {
		return wire.Sensor{}, notFound("sensor", text)
	}
	live, err := onBus(ctx, s, func(ctx context.Context) (liveSensors, error) { return s.liveSensors(ctx, ref.String()) })
	if err != nil {
		return wire.Sensor{}, err
	}
	return live.show(v.Snapshot, ref, d), nil
}

// restartSensor asks the host that has the sensor.
func (s *Server) restartSensor(ctx context.Context, in *ByRef) (*reply[wire.Sensor], error) {
	x, err := s.sensor(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	if x.Status == streams.SensorIdle {
		return nil, conflict("sensor " + x.Ref + " is idle: " + x.Reason)
	}
	subject, err := streams.SensorRestartSubject(x.Pack, x.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err = s.config.Bus.Conn.RequestWithContext(ctx, subject, nil)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return nil, conflict("no host has sensor " + x.Ref + " now; one takes it within seconds while a sensors service runs")
	}
	if err != nil {
		return nil, fmt.Errorf("restart sensor %s: %w", x.Ref, err)
	}
	return answer(x), nil
}

// liveSensors is what the bus knows of sensors.
type liveSensors struct {
	states map[string]streams.SensorState // by "pack.name"
	hosts  map[string]bool                // those with a lease
	rules  access.Reach                   // the rules that the caller may see
}

func (s *Server) liveSensors(ctx context.Context, keys string) (liveSensors, error) {
	l := liveSensors{
		states: map[string]streams.SensorState{}, hosts: map[string]bool{},
		rules: access.From(ctx).Reach(access.Right{Verb: access.View, Kind: access.Rules}),
	}
	err := s.entries(ctx, streams.BucketLeases, sensor.Leases, func(key string, _ []byte) error {
		l.hosts[sensor.OwnerOf(key)] = true
		return nil
	})
	if err != nil {
		return l, err
	}
	err = s.entries(ctx, streams.BucketSensors, keys, func(key string, value []byte) error {
		var st streams.SensorState
		err := json.Unmarshal(value, &st)
		l.states[key] = st
		return err
	})
	return l, err
}

// errReadEnded is returned when the client gave up reading a bucket in the middle: what was read is not all there is.
var errReadEnded = errors.New("reading has ended early")

// entries calls use with all entries of a bucket whose keys fit.
func (s *Server) entries(ctx context.Context, bucket, keys string, use func(string, []byte) error) error {
	kv, err := s.config.Bus.JS.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	w, err := kv.Watch(ctx, keys, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", bucket, err)
	}
	defer func() { _ = w.Stop() }() // it was for one reading
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read bucket %s: %w", bucket, context.Cause(ctx))
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("read bucket %s: %w", bucket, errReadEnded)
			}
			if e == nil { // all that was there has been sent
				return nil
			}
			if err := use(e.Key(), e.Value()); err != nil {
				s.log.WarnContext(ctx, "entry cannot be read", slog.String("bucket", bucket), slog.String("key", e.Key()), slog.Any(logging.Error, err))
			}
		}
	}
}

// show gives a sensor with what it does.
func (l liveSensors) show(snap *definitions.Snapshot, ref pack.Ref, d definitions.Sensor) wire.Sensor {
	x, st := d.Spec, l.states[ref.String()]
	if x.Triggers == nil {
		x.Triggers = []string{}
	}
	out := wire.Sensor{
		Ref: ref.String(), Pack: ref.Pack, Name: ref.Name, Description: x.Description, Runtime: x.Runtime, EntryPoint: x.EntryPoint,
		Triggers: x.Triggers, Secrets: x.Secrets, Optional: x.Optional, Config: x.Config, PackDigest: d.Digest,
		Host: st.Host, PID: st.PID, StartedAt: st.StartedAt, Restarts: st.Restarts, RetryAt: st.RetryAt, Error: st.Error,
		Events: st.Events, Rejected: st.Rejected, LastEventAt: st.LastEventAt, Log: st.Log, Logs: st.Logs,
	}
	out.Status, out.Reason = l.standing(snap, ref, x, st)
	if out.Status != st.Status {
		out.PID, out.RetryAt = 0, nil
	}
	return out
}

// standing says what a sensor does, and why it does not run.
func (l liveSensors) standing(snap *definitions.Snapshot, ref pack.Ref, spec pack.Sensor, st streams.SensorState) (streams.SensorStatus, string) {
	unused := l.whyUnused(snap, ref, spec)
	switch alive := l.hosts[st.Owner]; {
	case unused != "" && (!alive || st.Status == streams.SensorIdle):
		return streams.SensorIdle, unused
	case st.Status == streams.SensorFailed && (alive || st.Owner == ""):
		return streams.SensorFailed, "it cannot be started as it is; it is tried again when it changes, and at retry_at"
	case st.Owner == "" || st.Status == streams.SensorIdle:
		return streams.SensorStarting, "no host has it yet; one takes it within seconds while a sensors service runs"
	case !alive:
		return streams.SensorStarting, "its host " + st.Host + " has gone; another takes it over within seconds while a sensors service runs"
	case st.Status == streams.SensorBackoff:
		return st.Status, "it ended, and is started again at retry_at"
	}
	return st.Status, ""
}

// whyUnused says why a sensor has nothing to do; "" when it has.
func (l liveSensors) whyUnused(snap *definitions.Snapshot, sensor pack.Ref, spec pack.Sensor) string {
	var triggers, disabled []string
	for _, name := range spec.Triggers {
		trigger := pack.Ref{Pack: sensor.Pack, Name: name}
		if len(snap.RulesOf(trigger)) > 0 {
			return ""
		}
		triggers = append(triggers, trigger.String())
		for ref, r := range snap.Rules {
			if r.Trigger == trigger && l.rules.HasPack(ref.Pack) {
				disabled = append(disabled, ref.String())
			}
		}
	}
	if len(disabled) > 0 {
		slices.Sort(disabled)
		return "all rules that use its triggers are disabled: " + strings.Join(disabled, ", ")
	}
	return "no rule uses its triggers: " + strings.Join(triggers, ", ")
}
