package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/pkg/webhook"
)

func (s *Server) routeWebhooks(a huma.API) {
	o := accepted(op(openToAll(), http.MethodPost, "/webhooks/{pack}/{trigger}", "receive-webhook", "Webhooks", "Deliver a webhook",
		http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType))
	o.Description = "Needs no token: each delivery proves where it comes from by the trigger's scheme. A delivery id (X-GitHub-Delivery, Idempotency-Key, Webhook-Id, Stripe's id, Slack's event_id) is " +
		"used once; without one, the same body within two minutes is the same delivery. The body is the event's payload; one that does not fit the " +
		"trigger's schema is recorded as a rejected event."
	o.MaxBodyBytes = event.MaxPayload + 1 // the library refuses what reaches it
	register(s, a, o, s.receive)
	documentBody[map[string]any](a, o, "application/json")
}

type deliveryInput struct {
	RawInput
	Pack    string `path:"pack"`
	Trigger string `path:"trigger"`
}

type deliveryOutput struct {
	Status int
	Body   wire.DeliveryAccepted
}

func (s *Server) receive(ctx context.Context, in *deliveryInput) (*deliveryOutput, error) {
	ref := pack.Ref{Pack: in.Pack, Name: in.Trigger}
	t, _, err := s.defs.trigger(ref.String())
	if err != nil {
		return nil, err
	}
	if t.Spec.Webhook == nil {
		return nil, notFound("webhook", ref.String())
	}
	d := webhook.Delivery{Header: in.header, Body: in.RawBody, At: time.Now()}
	if err := s.verify(ctx, t, d); err != nil {
		return nil, err
	}
	if answer, greeted := greeting(t.Spec.Webhook.Scheme, d); greeted {
		return &deliveryOutput{Status: http.StatusOK, Body: answer}, nil
	}
	n, err := delivered(ref, t.Spec.Webhook.Scheme, d)
	if err != nil {
		return nil, err
	}
	return s.keep(ctx, n)
}

// keep stores the event of a delivery, once for each id.
func (s *Server) keep(ctx context.Context, n event.New) (*deliveryOutput, error) {
	out := &deliveryOutput{Status: http.StatusAccepted, Body: wire.DeliveryAccepted{ID: n.ID}}
	known, err := s.knows(ctx, n)
	if known || err != nil {
		return out, err
	}
	out.Body.ID, err = s.put(ctx, n)
	return out, err
}

// verify refuses whoever does not prove where the delivery comes from. Why exactly is for the log only.
func (s *Server) verify(ctx context.Context, t definitions.Trigger, d webhook.Delivery) error {
	w := *t.Spec.Webhook
	secrets, err := s.webhookSecrets(ctx, t.Pack, w)
	if err != nil {
		return err
	}
	err = webhook.Verify(w, secrets, d)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, webhook.ErrMisconfigured):
		s.log.WarnContext(ctx, "webhook takes no deliveries", slog.String(logging.Trigger, t.Pack+"."+t.Spec.Name), slog.Any(logging.Error, err))
		return problem(http.StatusForbidden, wire.CodeWebhookClosed, "this webhook is not set up to take deliveries")
	case errors.Is(err, webhook.ErrRefused):
		s.log.InfoContext(ctx, "delivery refused", slog.String(logging.Trigger, t.Pack+"."+t.Spec.Name), slog.Any(logging.Error, err))
		return problem(http.StatusUnauthorized, wire.CodeBadSignature, "the delivery does not prove where it comes from")
	}
	return err
}

// greeting answers what GitHub and Slack send when a webhook is made, which is no event.
func greeting(scheme string, d webhook.Delivery) (answer wire.DeliveryAccepted, greeted bool) {
	if scheme == webhook.GitHub && d.Header.Get(webhook.HeaderGitHubEvent) == "ping" {
		return wire.DeliveryAccepted{Note: "a ping is no event"}, true
	}
	challenge, asked := webhook.Challenge(scheme, d)
	return wire.DeliveryAccepted{Challenge: challenge}, asked
}

// delivered makes the event of a delivery.
func delivered(ref pack.Ref, scheme string, d webhook.Delivery) (event.New, error) {
	payload, err := deliveredPayload(scheme, d)
	if err != nil {
		return event.New{}, err
	}
	n := event.New{Trigger: ref.String(), Payload: payload, Source: "webhook"}
	id := webhook.Identify(scheme, d)
	if id.Given {
		n.ID = event.DeriveID("webhook", n.Trigger, id.Value)
	} else {
		n.Sameness = "webhook " + n.Trigger + " " + id.Value
	}
	return n, nil
}

// deliveredPayload reads JSON, or the form in which GitHub wraps it unless told otherwise, and Slack some of it. The
// fields of other forms of Slack, such as those of slash commands, become texts.
func deliveredPayload(scheme string, d webhook.Delivery) (json.RawMessage, error) {
	declared := d.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(declared)
	body := d.Body
	switch {
	case err != nil && declared != "":
		return nil, unsupported(declared)
	case media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err == nil && scheme == webhook.Slack && !form.Has("payload") {
			return formPayload(form)
		}
		if err != nil || len(form["payload"]) != 1 {
			return nil, problem(http.StatusBadRequest, wire.CodeInvalidPayload, "a form must hold the JSON once, as payload")
		}
		body = []byte(form.Get("payload"))
	case media != "" && !isJSON(media):
		return nil, unsupported(media)
	}
	if len(body) == 0 {
		return json.RawMessage("{}"), nil
	}
	if _, err := strictjson.Parse(body); err != nil {
		return nil, misreadBody(err)
	}
	return body, nil
}

// formPayload makes an object of a form, each field of which is there once.
func formPayload(form url.Values) (json.RawMessage, error) {
	fields := make(map[string]string, len(form))
	for name, values := range form {
		if len(values) != 1 || !utf8.ValidString(name+values[0]) {
			return nil, problem(http.StatusBadRequest, wire.CodeInvalidPayload, "each field of a form must be there once, as text in UTF-8")
		}
		fields[name] = values[0]
	}
	return json.Marshal(fields)
}

// isJSON tells media types that are JSON.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// webhookPath is where deliveries for a trigger go.
func webhookPath(ref pack.Ref) string {
	return fmt.Sprintf("%s/webhooks/%s/%s", wire.Prefix, ref.Pack, ref.Name)
}
