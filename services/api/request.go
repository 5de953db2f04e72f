package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// request makes sure that an execution is requested, once for each key, after its secrets are sealed.
func (s *Server) request(ctx context.Context, a *invocation.Action, r execution.Request, values sealing, key string) (*executionOutput, error) {
	r.ID = execution.NewID()
	known := false
	if key != "" {
		r.ID = execution.DeriveKeyID(caller(ctx), key)
		var out *executionOutput
		var err error
		if out, known, err = s.replay(ctx, r, values); out != nil || err != nil {
			return out, err
		}
	}
	if !known {
		if err := s.mayRun(ctx, a, r); err != nil {
			return nil, err
		}
	}
	if err := s.seal(ctx, r.ID, values); err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.APISealed)
	ask := s.facts.Request
	if key == "" || !known && r.Key == "" { // what its parameters choose a line for might be requested with others at the same time
		ask = s.facts.RequestFresh
	}
	done, err := onBus(ctx, s, func(ctx context.Context) (execution.Requested, error) { return ask(ctx, r) })
	if err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.APIRequested)
	return s.accept(ctx, done)
}

// accept answers a request that is on the bus, with its place in line. What the leading scheduler refuses is told
// as a refusal, whether it is about to end or has ended.
func (s *Server) accept(ctx context.Context, done execution.Requested) (*executionOutput, error) {
	out := &executionOutput{Body: wire.ExecutionAccepted{ID: done.ID, Status: done.Status}}
	if done.Existed {
		out.Replayed = "true"
	}
	if class := refusedWith(done.Status, done.Error); class != "" {
		return nil, s.refusal(ctx, class, done.Fact)
	}
	if done.Status != streams.Requested {
		return out, nil
	}
	p, err := s.position(ctx, done.ID, done.QueueSeq)
	switch {
	case err == nil && p.Refused != "":
		return nil, s.refusal(ctx, p.Refused, done.Fact)
	case err == nil && p.Known:
		out.Body.Position, out.Body.EstimatedStartAt, out.Body.EstimateError = &p.Position, p.EstimatedStartAt, p.EstimateError
		return out, nil
	case err == nil || done.Reject:
		return s.acceptEnded(ctx, out, done.Fact)
	}
	return out, nil
}

// acceptEnded answers for an execution that the scheduler did not know: it may have ended since it was requested.
func (s *Server) acceptEnded(ctx context.Context, out *executionOutput, f execution.Fact) (*executionOutput, error) {
	now, err := onBus(ctx, s, func(ctx context.Context) (execution.State, error) { return s.facts.Last(ctx, f.Action, f.ID) })
	if err != nil {
		return out, nil //nolint:nilerr // it was requested; what became of it is told to whoever asks later
	}
	if class := refusedWith(now.Status, now.Error); class != "" {
		return nil, s.refusal(ctx, class, f)
	}
	if out.Body.Status = now.Status; now.Status != streams.Requested {
		out.Body.Position = new(int)
	}
	return out, nil
}

// replay answers a request whose key was used before, also long after its execution has left the bus, and tells
// whether there is such an execution. One that is only requested is requested again: who asked first may have died
// before it stood in line.
func (s *Server) replay(ctx context.Context, r execution.Request, values sealing) (out *executionOutput, known bool, err error) {
	was, err := s.find(ctx, r.ID)
	if isNotFound(err) || isDatabaseDown(err) { // without history the bus alone has to remember
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if was.Action != r.Action || !sameJSON(was.Parameters, r.Parameters) {
		return nil, true, execution.ErrConflict
	}
	if was.Status == streams.Requested {
		return nil, true, nil
	}
	if err := s.sealedBefore(ctx, r.ID, values); err != nil {
		return nil, true, err
	}
	if class := refusedWith(was.Status, was.Error); class != "" {
		return nil, true, s.refusal(ctx, class, execution.Fact{ID: was.ID, Action: was.Action, Key: was.Key})
	}
	return &executionOutput{Replayed: "true", Body: wire.ExecutionAccepted{ID: was.ID, Status: was.Status, Position: new(int)}}, true, nil
}

// sameJSON compares documents, whatever their form. What is not known is taken for the same.
func sameJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return true
	}
	x, errX := strictjson.Parse(a)
	y, errY := strictjson.Parse(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// mayRun refuses, before anything is made of it, what would not start: because no runner can run it, or because it
// is to start at once or not at all. What is to be repeated is judged anew each time, so a refusal is never kept.
func (s *Server) mayRun(ctx context.Context, a *invocation.Action, r execution.Request) error {
	if a.Spec.RunsOn.IfNone != pack.IfNoneWait {
		if err := s.fleet.Check(a.Placement()); err != nil {
			return problem(http.StatusConflict, wire.CodeNoRunner, r.Action+": "+err.Error()+
				"; with runs_on: {if_none: wait} it would wait for a runner that can")
		}
	}
	if r.Reject {
		return s.mayStart(ctx, r)
	}
	return nil
}

// mayStart refuses an execution that is to start at once or not at all, and cannot, before anything is made of it.
// The leading scheduler decides in the end: somebody else may come in between.
func (s *Server) mayStart(ctx context.Context, r execution.Request) error {
	if r.Key == "" && s.hasKey(r.Action) {
		return nil // the statistics without a key are those of all keys
	}
	q, err := s.stats(ctx, r.Action, r.Key)
	switch {
	case err != nil:
		return err
	case q.Draining:
		return refused409(streams.ClassQueueDraining, r.Action, "", &q)
	case isFull(q):
		return refused409(streams.ClassQueueFull, r.Action, "", &q)
	}
	return nil
}

func (s *Server) hasKey(action string) bool {
	a, err := s.defs.action(action)
	return err == nil && a.Spec.Concurrency.Key != ""
}

func isFull(q streams.QueueStats) bool {
	return q.Limit > 0 && q.Running >= q.Limit || q.Waiting > 0 || q.Paused
}

// refusedWith gives the class of the error with which the leading scheduler refused an execution, or "".
func refusedWith(status streams.Status, e *streams.Error) string {
	if status == streams.Canceled && e != nil && (e.Class == streams.ClassQueueFull || e.Class == streams.ClassQueueDraining) {
		return e.Class
	}
	return ""
}

// refusal tells that an execution was refused, and how its queue stands now, if somebody knows.
func (s *Server) refusal(ctx context.Context, class string, f execution.Fact) error {
	q, err := s.stats(ctx, f.Action, f.Key)
	if err != nil {
		return refused409(class, f.Action, f.ID, nil)
	}
	return refused409(class, f.Action, f.ID, &q)
}

func refused409(class, action, id string, q *streams.QueueStats) *wire.Problem {
	p := problem(http.StatusConflict, wire.CodeQueueFull, action+" starts at once or not at all, and it cannot start now")
	if class == streams.ClassQueueDraining {
		p = problem(http.StatusConflict, wire.CodeQueueDraining, "the queue of "+action+" is draining: it takes nothing new until it is resumed")
	}
	if q != nil {
		p.Detail += fmt.Sprintf(" (%d running, %d waiting)", q.Running, q.Waiting)
	}
	p.Queue, p.Execution = q, id
	return p
}
