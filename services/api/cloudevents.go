package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/strictjson"
)

// cloudEvent holds the attributes of a CloudEvent that mean something here. Others are taken and passed over.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
	DataBase64  string          `json:"data_base64"`
}

// attribute is how the specification lets attributes be named; it keeps case variants out.
var attribute = regexp.MustCompile(`^[a-z0-9_]+$`)

func readStructuredCloudEvent(body []byte) (event.New, error) {
	all, err := strictjson.ParseObject(body)
	if err != nil {
		return event.New{}, misreadBody(err)
	}
	for name := range all {
		if !attribute.MatchString(name) {
			return event.New{}, invalid(clip(name), "is not a name that a CloudEvent's attribute may have")
		}
	}
	var c cloudEvent
	if err := json.Unmarshal(body, &c); err != nil {
		return event.New{}, problem(http.StatusBadRequest, wire.CodeInvalidJSON, "body: an attribute of the CloudEvent is not text")
	}
	if c.DataBase64 != "" {
		if c.Data, err = base64.StdEncoding.DecodeString(c.DataBase64); err != nil {
			return event.New{}, invalid("data_base64", "is not base64")
		}
	}
	if c.ContentType != "" && !isJSON(c.ContentType) {
		return event.New{}, unsupported(c.ContentType)
	}
	return c.event("")
}

func readBinaryCloudEvent(in *RawInput, media string) (event.New, error) {
	if media != "" && !isJSON(media) {
		return event.New{}, unsupported(media)
	}
	get := in.header.Get
	c := cloudEvent{
		SpecVersion: get("Ce-Specversion"), ID: get("Ce-Id"), Source: get("Ce-Source"), Type: get("Ce-Type"),
		Time: get("Ce-Time"), Data: in.RawBody,
	}
	return c.event("ce-")
}

// event gives the event. Its id is the one that it would have had, published on the bus with the same
// attributes as headers.
func (c cloudEvent) event(prefix string) (event.New, error) {
	n := event.New{ID: event.DeriveID("ce", c.Source, c.ID), Trigger: c.Type, Source: c.Source, Payload: c.Data}
	for name, value := range map[string]string{"id": c.ID, "source": c.Source, "type": c.Type, "specversion": c.SpecVersion} {
		if value == "" {
			return n, invalid(prefix+name, "is required in a CloudEvent")
		}
	}
	if c.SpecVersion != "1.0" {
		return n, invalid(prefix+"specversion", "only 1.0 is known")
	}
	if len(c.Source) > maxSource {
		return n, invalid(prefix+"source", "is too long")
	}
	if c.Time == "" {
		return n, nil
	}
	at, err := time.Parse(time.RFC3339Nano, c.Time)
	if err != nil {
		return n, invalid(prefix+"time", "want a time such as 2026-01-31T08:00:00Z")
	}
	n.Time = at
	return n, nil
}
