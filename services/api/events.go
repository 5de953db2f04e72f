package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

func (s *Server) routeEvents(a huma.API) {
	const tag = "Events"
	publish := accepted(op(mayOne(access.Operate, access.Events), http.MethodPost, "/events", "publish-event", tag, "Publish an event",
		http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType))
	publish.Description = "A CloudEvent is accepted too, structured or binary: its type names the trigger, its id and source together its identity."
	publish.MaxBodyBytes = event.MaxPayload + 64<<10 // the payload's own bound is checked, and named
	register(s, a, publish, s.publishEvent)
	documentBody[wire.EventRequest](a, publish, "application/json", "application/cloudevents+json")
	register(s, a, op(mayList(access.View, access.Events), http.MethodGet, "/events", "list-events", tag, "List events, newest first"), s.listEvents)
	register(s, a, op(mayOne(access.View, access.Events), http.MethodGet, "/events/{id}", "show-event", tag, "Show an event and what every rule decided about it",
		http.StatusNotFound), s.showEvent)
}

// RawInput is a body as it came, with the headers that say what it is.
type RawInput struct {
	RawBody []byte
	header  http.Header
}

// Resolve keeps the headers.
func (in *RawInput) Resolve(ctx huma.Context) []error {
	in.header = http.Header{}
	ctx.EachHeader(in.header.Add)
	return nil
}

func (s *Server) publishEvent(ctx context.Context, in *RawInput) (*reply[wire.EventAccepted], error) {
	n, err := readEvent(in)
	if err != nil {
		return nil, err
	}
	if err := s.admitTo(ctx, access.Right{Verb: access.Operate, Kind: access.Events}, n.Trigger, notFound("trigger", n.Trigger)); err != nil {
		return nil, err
	}
	id, err := s.publish(ctx, n)
	if err != nil {
		return nil, err
	}
	return answer(wire.EventAccepted{ID: id}), nil
}

// readEvent reads one of the three forms that an event may have.
func readEvent(in *RawInput) (event.New, error) {
	media, _, err := mime.ParseMediaType(in.header.Get("Content-Type"))
	switch {
	case err != nil && in.header.Get("Content-Type") != "":
		return event.New{}, unsupported(in.header.Get("Content-Type"))
	case in.header.Get("Ce-Specversion") != "" || in.header.Get("Ce-Type") != "":
		return readBinaryCloudEvent(in, media)
	case media == "application/cloudevents+json":
		return readStructuredCloudEvent(in.RawBody)
	case media == "application/json" || media == "":
		return readPlainEvent(in.RawBody)
	}
	return event.New{}, unsupported(media)
}

func unsupported(media string) error {
	return problem(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia, "there is no way to read "+clip(media)+" here")
}

func readPlainEvent(body []byte) (event.New, error) {
	var r wire.EventRequest
	if err := strictjson.Unmarshal(body, &r); err != nil {
		return event.New{}, misreadBody(err)
	}
	n := event.New{ID: r.ID, Trigger: r.Trigger, Payload: r.Payload, Source: r.Source}
	if r.Time != nil {
		n.Time = *r.Time
	}
	switch {
	case r.Trigger == "":
		return n, invalid("trigger", "is required")
	case r.ID != "" && !isID(r.ID):
		return n, invalid("id", "want a UUID")
	case len(r.Source) > maxSource:
		return n, invalid("source", fmt.Sprintf("at most %d characters", maxSource))
	}
	return n, nil
}

// maxSource bounds what a publisher may call itself.
const maxSource = 200

// misreadBody says where a body cannot be read.
func misreadBody(err error) error {
	var at *strictjson.Error
	if !errors.As(err, &at) {
		return err
	}
	f := wire.FieldError{Field: at.Path, Message: at.Message}
	return problem(http.StatusBadRequest, wire.CodeInvalidJSON, "body: "+f.String(), f)
}

// publish checks an event against its trigger and stores it, once for each id.
func (s *Server) publish(ctx context.Context, n event.New) (string, error) {
	_, fits, err := s.defs.trigger(n.Trigger)
	if err != nil {
		return "", err
	}
	if n.Payload, err = checkPayload(n.Payload, fits); err != nil {
		return "", err
	}
	if n.Source == "" {
		n.Source = "api"
	}
	if known, err := s.knows(ctx, n); known || err != nil {
		return n.ID, err
	}
	return s.put(ctx, n)
}

// put stores an event; that it was stored before is as good.
func (s *Server) put(ctx context.Context, n event.New) (string, error) {
	id, err := onBus(ctx, s, func(ctx context.Context) (string, error) { return event.Publish(ctx, s.config.Bus.JS, n) })
	if errors.Is(err, event.ErrDuplicate) {
		return id, nil
	}
	return id, err
}

// knows tells whether history holds the event of a given id: the stream forgets within minutes that it had one.
// When history does not answer the event is published; the rules decide the same event in the same way.
func (s *Server) knows(ctx context.Context, n event.New) (bool, error) {
	if n.ID == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	was, err := s.history.Event(ctx, n.ID)
	if err != nil {
		return false, nil //nolint:nilerr // not knowing is an answer here
	}
	if was.Trigger != n.Trigger {
		return false, conflict("another event has this id")
	}
	return true, nil
}

func checkPayload(raw json.RawMessage, fits *schema.Schema) (json.RawMessage, error) {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if len(raw) > event.MaxPayload {
		detail := fmt.Sprintf("takes more than %d bytes", event.MaxPayload)
		return nil, problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "payload "+detail, wire.FieldError{Field: "payload", Message: detail})
	}
	value, err := strictjson.Parse(raw)
	if err != nil {
		return nil, misread(wire.CodeInvalidPayload, "payload", err)
	}
	var faults schema.Faults
	if err := fits.Validate(value); errors.As(err, &faults) {
		return nil, unfit(wire.CodeInvalidPayload, "payload", faults)
	}
	return raw, nil
}

type eventFilter struct {
	Paging
	Trigger string `query:"trigger"`
	Status  string `query:"status" enum:"received,decided,rejected"`
	Since   string `query:"since" doc:"Received then or later: a time, or how long ago"`
	Until   string `query:"until" doc:"Received before: a time, or how long ago"`
}

func (s *Server) listEvents(ctx context.Context, in *eventFilter) (*reply[wire.Page[wire.Event]], error) {
	since, until, err := period(in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	found, err := s.history.ListEvents(ctx, history.EventFilter{
		Trigger: in.Trigger, Status: streams.EventStatus(in.Status), Since: since, Until: until,
		Packs: s.reach(ctx, access.View, access.Events).Packs(),
	}, in.page())
	if err != nil {
		return nil, err
	}
	page := wire.Page[wire.Event]{Items: make([]wire.Event, len(found.Items)), NextCursor: found.Next}
	for i, e := range found.Items {
		page.Items[i] = visible(ctx, pastEvent(e))
	}
	return answer(page), nil
}

// pastEvent gives what history knows of an event.
func pastEvent(e history.Event) wire.Event {
	return wire.Event{
		ID: e.ID, Trigger: e.Trigger, Status: e.Status, Reason: e.Reason, Payload: e.Payload, Source: e.Source, Time: e.Time,
		ReceivedAt: e.ReceivedAt, DecidedAt: e.DecidedAt, Sequence: uint64(max(e.Seq, 0)), Decisions: decisions(asListed(e.Decisions)),
	}
}

// liveEvent gives what the stream knows of an event, which is as it came.
func liveEvent(e event.Event, rejected error) wire.Event {
	out := wire.Event{
		ID: e.ID, Trigger: e.Trigger, Status: streams.EventReceived, Payload: e.Payload, Source: e.Source, Time: e.Time,
		ReceivedAt: e.ReceivedAt.UTC().Truncate(time.Microsecond), Sequence: e.Sequence,
	}
	if rejected != nil {
		out.Status, out.Reason = streams.EventRejected, rejected.Error()
	}
	return out
}
