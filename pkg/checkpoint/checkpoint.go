// Package checkpoint tells how far the rules service is with the events.
//
// Decisions are recorded in the order of their events, so the last one tells. It guarantees that a message which is no
// decision, whoever published it, is passed over: it neither hides the decisions before it nor counts as one.
package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/streams"
)

// UpTo is the sequence of the last event with a recorded decision, 0 when there is none.
type UpTo struct {
	Event  uint64
	Passed int // messages behind that decision that are none
}

// errRefused is returned when the server does not give a message.
var errRefused = errors.New("server refused to read")

// getTimeout bounds one request to the stream's leader.
const getTimeout = 10 * time.Second

// Look asks DECISIONS.
func Look(ctx context.Context, conn *nats.Conn) (at UpTo, err error) {
	m, err := get(ctx, conn, request{LastBy: streams.AllDecisions})
	for ; err == nil && m.Sequence > 0; m, err = before(ctx, conn, m.Sequence) {
		switch seq, ok := m.event(); {
		case ok:
			at.Event = seq
			return at, nil
		case !streams.IsRuleSet(m.Subject):
			at.Passed++
		}
	}
	return at, err
}

// before gives the message before a sequence; one without a sequence when there is none.
func before(ctx context.Context, conn *nats.Conn, sequence uint64) (m message, err error) {
	for sequence--; sequence > 0 && m.Sequence == 0 && err == nil; sequence-- {
		m, err = get(ctx, conn, request{Seq: sequence})
	}
	return m, err
}

// request and message are those of the server's API. The client's own call gives no message whose headers cannot be
// read, and takes some headers for an answer of the server.
type request struct {
	Seq    uint64 `json:"seq,omitempty"`
	LastBy string `json:"last_by_subj,omitempty"`
}

type message struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Header   []byte `json:"hdrs"`
	Data     []byte `json:"data"`
}

// event gives the sequence of the event that a decision is about. It is in the header and in the decision.
func (m message) event() (seq uint64, ok bool) {
	header, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return 0, false
	}
	seq, err = strconv.ParseUint(header.Get(streams.HeaderEventSeq), 10, 64)
	var d streams.Decision
	if err != nil || json.Unmarshal(m.Data, &d) != nil || streams.CheckParsed("decision", d.Version, nil) != nil {
		return 0, false
	}
	return seq, d.EventSeq == seq && d.EventID != "" && strings.HasSuffix(m.Subject, "."+d.EventID)
}

const notFound = 404

// get reads a message; none is there when it has no sequence.
func get(ctx context.Context, conn *nats.Conn, r request) (message, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return message{}, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	answer, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+streams.Decisions, data)
	if err != nil {
		return message{}, fmt.Errorf("read %s: %w", streams.Decisions, err)
	}
	var reply struct {
		Message message `json:"message"`
		Error   *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &reply); err != nil {
		return message{}, fmt.Errorf("read %s: %w", streams.Decisions, err)
	}
	if reply.Error != nil && reply.Error.Code != notFound {
		return message{}, fmt.Errorf("read %s: %w: %s", streams.Decisions, errRefused, reply.Error.Description)
	}
	return reply.Message, nil
}
