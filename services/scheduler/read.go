package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// The server answers requests for many messages at once with one message each and an empty one at the end.
// The client library has no call for this.
const (
	apiDirectGet = "$JS.API.DIRECT.GET."     // any server that has the stream answers, it may lag
	apiGet       = "$JS.API.STREAM.MSG.GET." // the stream's leader answers

	headerStatus   = "Status"
	headerSubject  = "Nats-Subject"
	headerSequence = "Nats-Sequence"
	headerPending  = "Nats-Num-Pending"
	headerUpTo     = "Nats-UpTo-Sequence"

	statusEnd      = "204"
	statusNotFound = "404"
)

const (
	// maxSubjects is how many last messages one request asks for; the server takes 1,024.
	maxSubjects = 1000
	// maxAnswerBytes bounds one answer, well below what the client holds for a reader.
	maxAnswerBytes = 8 << 20
	// answerTimeout is how long the next message of an answer may take.
	answerTimeout = 5 * time.Second
	// lagPause is how long to wait for a server that lags, and lagTries how often.
	lagPause = 50 * time.Millisecond
	lagTries = 100
)

var (
	errAnswer = errors.New("server refused to read")
	errLag    = errors.New("server lags behind the stream's leader")
)

// getRequest is the server's request for messages.
type getRequest struct {
	Seq       uint64   `json:"seq,omitempty"`
	LastBy    string   `json:"last_by_subj,omitempty"`
	NextBy    string   `json:"next_by_subj,omitempty"`
	MultiLast []string `json:"multi_last,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
}

// ending is what the last message of an answer says.
type ending struct {
	pending uint64 // how many more there are
	upTo    uint64 // the sequence that the server had reached; 0 when it found nothing
	none    bool
}

// get sends a request and hands over each message of the answer.
func (t *term) get(ctx context.Context, stream string, r getRequest, each func(*nats.Msg)) (ending, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return ending{}, fmt.Errorf("encode request: %w", err)
	}
	inbox := t.Bus.Conn.NewInbox()
	sub, err := t.Bus.Conn.SubscribeSync(inbox)
	if err != nil {
		return ending{}, fmt.Errorf("read %s: %w", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails on a closed connection, which has no subscriptions
	if err := t.Bus.Conn.PublishRequest(apiDirectGet+stream, inbox, data); err != nil {
		return ending{}, fmt.Errorf("read %s: %w", stream, err)
	}
	for {
		m, err := next(ctx, sub)
		if err != nil {
			return ending{}, fmt.Errorf("read %s: %w", stream, err)
		}
		status := m.Header.Get(headerStatus)
		switch {
		case m.Header.Get(headerSubject) != "": // a message, whatever other headers its publisher gave it
			each(m)
		case status != "":
			return endOf(stream, m, status)
		}
	}
}

func next(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

func endOf(stream string, m *nats.Msg, status string) (ending, error) {
	switch status {
	case statusEnd:
		return ending{pending: number(m, headerPending), upTo: number(m, headerUpTo)}, nil
	case statusNotFound:
		return ending{none: true}, nil
	}
	return ending{}, fmt.Errorf("read %s: %w: %s %s", stream, errAnswer, status, m.Header.Get("Description"))
}

func number(m *nats.Msg, header string) uint64 {
	n, err := strconv.ParseUint(m.Header.Get(header), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// readRuns gives who is on RUNS: it reads until it has seen this leader's own marker, after which nobody else
// dispatches.
func (t *term) readRuns(ctx context.Context) (map[admission.ID]bool, error) {
	found := map[admission.ID]bool{}
	from := uint64(1)
	for tries := 0; tries < lagTries; {
		before := from
		_, err := t.get(ctx, streams.Runs, getRequest{Seq: from, NextBy: streams.AllRuns, Batch: maxSubjects, MaxBytes: maxAnswerBytes}, func(m *nats.Msg) {
			from = number(m, headerSequence) + 1
			if _, text, err := streams.RunTokens(m.Header.Get(headerSubject)); err == nil {
				if id, err := parseID(text); err == nil {
					found[id] = true
				}
			}
		})
		if err != nil {
			return nil, err
		}
		if from > t.epoch {
			return found, nil
		}
		if from == before { // the server that answered does not have the marker yet
			tries++
			lifecycle.Pause(ctx, lagPause)
		}
	}
	return nil, fmt.Errorf("read %s up to %d: %w", streams.Runs, t.epoch, errLag)
}

// onRuns tells which of the suspects are on RUNS.
func (t *term) onRuns(ctx context.Context, suspects []suspect) (map[admission.ID]bool, error) {
	subjects := make([]string, 0, len(suspects))
	for _, s := range suspects {
		subject, err := streams.RunSubject(s.place.Pool, s.place.ID.String())
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subject)
	}
	found := make(map[admission.ID]bool, len(suspects))
	err := t.lastOf(ctx, streams.Runs, subjects, 0, func(m *nats.Msg) {
		if _, text, err := streams.RunTokens(m.Header.Get(headerSubject)); err == nil {
			if id, err := parseID(text); err == nil {
				found[id] = true
			}
		}
	})
	return found, err
}

// lastHeads reads the states of executions, no older than the sequence floor. Who is missing in the answer has
// no fact, which the stream's leader has confirmed.
func (t *term) lastHeads(ctx context.Context, places []admission.Place, floor uint64) (map[admission.ID]execution.Head, error) {
	heads := make(map[admission.ID]execution.Head, len(places))
	subjects := make([]string, 0, len(places))
	for _, p := range places {
		subject, err := streams.ExecutionSubject(p.Queue.Action.Pack, p.Queue.Action.Name, p.ID.String())
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subject)
	}
	err := t.lastOf(ctx, streams.Executions, subjects, floor, func(m *nats.Msg) { t.collect(ctx, heads, m) })
	if err != nil {
		return nil, err
	}
	return heads, t.confirmMissing(ctx, places, heads)
}

// collect takes a fact that cannot be understood for a requested one: the runner that gets it reads it whole.
func (t *term) collect(ctx context.Context, heads map[admission.ID]execution.Head, m *nats.Msg) {
	subject := m.Header.Get(headerSubject)
	_, _, text, err := streams.ExecutionTokens(subject)
	if err != nil {
		return
	}
	id, err := parseID(text)
	if err != nil {
		return
	}
	head, err := execution.ParseHead(subject, m.Header)
	if err != nil {
		t.Logger.WarnContext(ctx, "fact not understood", slog.String("subject", subject), slog.Any(logging.Error, err))
		head = execution.Head{ID: text, Status: streams.Requested}
	}
	heads[id] = head
}

// confirmMissing asks the stream's leader for those of which another server knew no fact.
func (t *term) confirmMissing(ctx context.Context, places []admission.Place, heads map[admission.ID]execution.Head) error {
	if !t.replicated || len(heads) == len(places) {
		return nil
	}
	for _, p := range places {
		if _, ok := heads[p.ID]; ok {
			continue
		}
		exists, err := t.existsAtLeader(ctx, p.Queue.Action.Pack, p.Queue.Action.Name, p.ID.String())
		if err != nil {
			return err
		}
		if exists {
			return fmt.Errorf("read %s: %w", streams.Executions, errLag)
		}
	}
	return nil
}

func (t *term) existsAtLeader(ctx context.Context, pack, action, id string) (bool, error) {
	subject, err := streams.ExecutionSubject(pack, action, id)
	if err != nil {
		return false, err
	}
	data, err := json.Marshal(getRequest{LastBy: subject})
	if err != nil {
		return false, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := t.Bus.Conn.RequestWithContext(ctx, apiGet+streams.Executions, data)
	if err != nil {
		return false, fmt.Errorf("read %s at its leader: %w", subject, err)
	}
	var reply struct {
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return false, fmt.Errorf("read %s at its leader: %w", subject, err)
	}
	switch {
	case reply.Error == nil:
		return true, nil
	case reply.Error.Code == 404:
		return false, nil
	}
	return false, fmt.Errorf("read %s at its leader: %w: %s", subject, errAnswer, reply.Error.Description)
}

// lastOf reads the last message of each subject that has one, from a server that has reached the sequence
// floor. An answer that was cut for its size is asked on.
func (t *term) lastOf(ctx context.Context, stream string, subjects []string, floor uint64, each func(*nats.Msg)) error {
	for tries := 0; len(subjects) > 0; {
		var got []*nats.Msg
		end, err := t.get(ctx, stream, getRequest{MultiLast: subjects, MaxBytes: maxAnswerBytes}, func(m *nats.Msg) { got = append(got, m) })
		if err != nil {
			return err
		}
		if t.replicated && !end.none && end.upTo < floor {
			if tries++; tries == lagTries {
				return fmt.Errorf("read %s up to %d: %w", stream, floor, errLag)
			}
			lifecycle.Pause(ctx, lagPause)
			continue
		}
		for _, m := range got {
			each(m)
		}
		if end.pending == 0 || len(got) == 0 {
			return nil
		}
		subjects = without(subjects, got)
	}
	return nil
}

func without(subjects []string, got []*nats.Msg) []string {
	have := make(map[string]bool, len(got))
	for _, m := range got {
		have[m.Header.Get(headerSubject)] = true
	}
	return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return have[s] })
}
