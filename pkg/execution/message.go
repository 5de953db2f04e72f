package execution

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// yes is the value of a header that says so.
const yes = "true"

// NewMessage makes the message of a fact.
func NewMessage(f Fact) (*nats.Msg, error) {
	f.Version = streams.Version
	subject, err := subjectOf(f.Action, f.ID)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("execution %s: encode fact: %w", f.ID, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(streams.HeaderStatus, string(f.Status))
	m.Header.Set(streams.HeaderAttempt, strconv.Itoa(f.Attempt))
	if f.NotBefore != nil {
		m.Header.Set(streams.HeaderNotBefore, f.NotBefore.Format(time.RFC3339Nano))
		if f.Retry != nil && f.Retry.Hold {
			m.Header.Set(streams.HeaderHold, yes)
		}
	}
	if f.Runner != "" && f.StartedAt != nil {
		m.Header.Set(streams.HeaderRunner, f.Runner)
		m.Header.Set(streams.HeaderStartedAt, f.StartedAt.Format(time.RFC3339Nano))
	}
	return m, nil
}

// Head is what the subject and headers of a fact say: enough to follow all executions without their bodies.
type Head struct {
	ID        string
	Action    pack.Ref
	Status    Status
	Attempt   int
	Runner    string    // "" before the claim
	StartedAt time.Time // by the runner's clock
	NotBefore time.Time // of a requested attempt after the first: when it may start; zero otherwise
	Hold      bool      // that attempt has kept its slot
}

// ParseHead reads the subject and headers of a message of EXECUTIONS.
func ParseHead(subject string, h nats.Header) (Head, error) {
	packName, action, id, err := streams.ExecutionTokens(subject)
	if err != nil {
		return Head{}, err
	}
	head := Head{ID: id, Action: pack.Ref{Pack: packName, Name: action}, Status: Status(h.Get(streams.HeaderStatus)), Runner: h.Get(streams.HeaderRunner)}
	if _, ok := next[head.Status]; !ok {
		return Head{}, fmt.Errorf("fact of %s: header %s: status %q is not known", id, streams.HeaderStatus, head.Status)
	}
	if head.Attempt, err = strconv.Atoi(h.Get(streams.HeaderAttempt)); err != nil {
		return Head{}, fmt.Errorf("fact of %s: header %s: %w", id, streams.HeaderAttempt, err)
	}
	if err := head.parseDelay(h); err != nil || head.Runner == "" {
		return head, err
	}
	if head.StartedAt, err = time.Parse(time.RFC3339Nano, h.Get(streams.HeaderStartedAt)); err != nil {
		return Head{}, fmt.Errorf("fact of %s: header %s: %w", id, streams.HeaderStartedAt, err)
	}
	return head, nil
}

func (h *Head) parseDelay(header nats.Header) (err error) {
	at := header.Get(streams.HeaderNotBefore)
	if at == "" {
		return nil
	}
	if h.NotBefore, err = time.Parse(time.RFC3339Nano, at); err != nil {
		return fmt.Errorf("fact of %s: header %s: %w", h.ID, streams.HeaderNotBefore, err)
	}
	h.Hold = header.Get(streams.HeaderHold) == yes
	return nil
}

// NewQueueMessage makes the message that puts a requested attempt in line. It has headers only: a leader
// reads the whole queue into memory, and parameters have no place there.
func NewQueueMessage(f Fact) (*nats.Msg, error) {
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return nil, fmt.Errorf("execution %s: %w", f.ID, err)
	}
	subject, err := streams.QueueAttemptSubject(ref.Pack, ref.Name, f.Key, f.ID, f.Attempt)
	if err != nil {
		return nil, fmt.Errorf("execution %s: %w", f.ID, err)
	}
	m := nats.NewMsg(subject)
	m.Header.Set(streams.HeaderLimit, strconv.Itoa(f.Limit))
	m.Header.Set(streams.HeaderPool, f.Pool)
	m.Header.Set(streams.HeaderAttempt, strconv.Itoa(f.Attempt))
	since := f.RequestedAt
	if f.NotBefore != nil {
		since = *f.NotBefore
	}
	m.Header.Set(streams.HeaderRequestedAt, since.Format(time.RFC3339Nano))
	setAdmission(m.Header, f.Admission)
	if f.Key != "" {
		m.Header.Set(streams.HeaderKey, base64.RawURLEncoding.EncodeToString([]byte(f.Key)))
	}
	return m, nil
}

// setAdmission writes what an execution has of it; most have nothing.
func setAdmission(h nats.Header, a streams.Admission) {
	if a.Priority != "" && a.Priority != streams.PriorityNormal {
		h.Set(streams.HeaderPriority, string(a.Priority))
	}
	if a.PackLimit != 0 {
		h.Set(streams.HeaderPackLimit, strconv.Itoa(a.PackLimit))
	}
	if a.Rate != "" {
		h.Set(streams.HeaderRate, a.Rate)
	}
	if a.QueueTimeoutSeconds != 0 {
		h.Set(streams.HeaderTimeout, strconv.FormatFloat(a.QueueTimeoutSeconds, 'g', -1, 64))
	}
	if a.Reject {
		h.Set(streams.HeaderReject, yes)
	}
}

func parseAdmission(h nats.Header) (a streams.Admission, err error) {
	a.Priority, a.Rate, a.Reject = streams.Priority(h.Get(streams.HeaderPriority)), h.Get(streams.HeaderRate), h.Get(streams.HeaderReject) == yes
	if text := h.Get(streams.HeaderPackLimit); text != "" {
		if a.PackLimit, err = strconv.Atoi(text); err != nil {
			return a, fmt.Errorf("header %s: %w", streams.HeaderPackLimit, err)
		}
	}
	if text := h.Get(streams.HeaderTimeout); text != "" {
		if a.QueueTimeoutSeconds, err = strconv.ParseFloat(text, 64); err != nil {
			return a, fmt.Errorf("header %s: %w", streams.HeaderTimeout, err)
		}
	}
	return a, nil
}

// Queued is what a message of QUEUE says.
type Queued struct {
	ID          string
	Action      pack.Ref
	KeyToken    string
	Key         string // as given
	Limit       int
	Pool        string
	Attempt     int
	RequestedAt time.Time // when this attempt might have started at the earliest
	streams.Admission
}

// ParseQueued reads the subject and headers of a message of QUEUE.
func ParseQueued(subject string, h nats.Header) (Queued, error) {
	packName, action, token, id, err := streams.QueueTokens(subject)
	if err != nil {
		return Queued{}, err
	}
	q := Queued{ID: id, Action: pack.Ref{Pack: packName, Name: action}, KeyToken: token, Pool: h.Get(streams.HeaderPool)}
	return q, q.parse(h)
}

func (q *Queued) parse(h nats.Header) (err error) {
	if q.Limit, err = strconv.Atoi(h.Get(streams.HeaderLimit)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderLimit, err)
	}
	if q.Attempt, err = strconv.Atoi(h.Get(streams.HeaderAttempt)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderAttempt, err)
	}
	if q.RequestedAt, err = time.Parse(time.RFC3339Nano, h.Get(streams.HeaderRequestedAt)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderRequestedAt, err)
	}
	if q.Admission, err = parseAdmission(h); err != nil {
		return fmt.Errorf("queued %s: %w", q.ID, err)
	}
	key, err := base64.RawURLEncoding.DecodeString(h.Get(streams.HeaderKey))
	if err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderKey, err)
	}
	q.Key = string(key)
	return nil
}
