package streams

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The first tokens of all subjects.
const (
	prefixEvent     = "attune.event"
	prefixDecision  = "attune.decision"
	prefixExecution = "attune.execution"
	prefixQueue     = "attune.queue"
	prefixRun       = "attune.run"
	prefixLog       = "attune.log"
)

// Subjects that hold all messages of one kind, for subscriptions and stream declarations.
const (
	AllEvents     = prefixEvent + ".>"
	AllDecisions  = prefixDecision + ".>"
	AllExecutions = prefixExecution + ".>"
	AllQueued     = prefixQueue + ".>"
	AllRuns       = prefixRun + ".>"
	AllLogs       = prefixLog + ".>"
)

// LeaderSubject holds the marker of the leading scheduler. Its stream sequence is the leader's epoch: every
// dispatch expects it, so the server refuses a leader that has been replaced.
const LeaderSubject = prefixRun + "._leader"

// prefixBarrier begins the subjects of marks in QUEUE that tell a new leader how far it has to read.
const prefixBarrier = prefixQueue + "._leader"

// BarrierSubject is the mark that the leader of an epoch puts into QUEUE, and takes away when it has read it:
// everything that was queued before it took over stands before the mark.
func BarrierSubject(epoch uint64) string { return prefixBarrier + "." + strconv.FormatUint(epoch, 10) }

// BarrierEpoch takes the subject of such a mark apart.
func BarrierEpoch(subject string) (uint64, bool) {
	rest, ok := strings.CutPrefix(subject, prefixBarrier+".")
	if !ok {
		return 0, false
	}
	epoch, err := strconv.ParseUint(rest, 10, 64)
	return epoch, err == nil
}

// Subjects that services answer requests on. No stream stores them.
const (
	RPCQueueList     = "attune.rpc.queue.list"     // request: none; reply: QueueList
	RPCQueueShow     = "attune.rpc.queue.show"     // request: QueueRequest; reply: QueueView
	RPCQueueStats    = "attune.rpc.queue.stats"    // request: QueueRequest; reply: QueueStats
	RPCQueuePosition = "attune.rpc.queue.position" // request: PositionRequest; reply: Position
	RPCSecret        = "attune.rpc.secret"         // request and reply: see pkg/secret
)

// ErrBadToken is returned when a token of a subject is empty, too long, or holds a character that has a
// meaning in subjects.
var ErrBadToken = errors.New("not a valid subject token")

// maxToken bounds a token's length, so that no subject grows past what servers index well.
const maxToken = 128

// Token checks that s can stand as one token of a subject and gives it back.
func Token(s string) (string, error) {
	if s == "" || len(s) > maxToken {
		return "", fmt.Errorf("subject token %.40q: length %d: %w", s, len(s), ErrBadToken)
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '.' || r == '*' || r == '>' {
			return "", fmt.Errorf("subject token %.40q: character %q: %w", s, r, ErrBadToken)
		}
	}
	return s, nil
}

func join(prefix string, tokens ...string) (string, error) {
	var b strings.Builder
	b.WriteString(prefix)
	for _, t := range tokens {
		if _, err := Token(t); err != nil {
			return "", err
		}
		b.WriteByte('.')
		b.WriteString(t)
	}
	return b.String(), nil
}

// EventSubject is where events of a trigger are published.
func EventSubject(pack, trigger string) (string, error) { return join(prefixEvent, pack, trigger) }

// DecisionSubject is where the rules' decisions about one event are recorded.
func DecisionSubject(pack, trigger, eventID string) (string, error) {
	return join(prefixDecision, pack, trigger, eventID)
}

// ExecutionSubject is the subject of one execution: its last message is the execution's state.
func ExecutionSubject(pack, action, id string) (string, error) {
	return join(prefixExecution, pack, action, id)
}

// AnyExecutionSubject matches the subject of the execution with that id, whatever its action.
func AnyExecutionSubject(id string) (string, error) {
	if _, err := Token(id); err != nil {
		return "", err
	}
	return prefixExecution + ".*.*." + id, nil
}

// QueueSubject is the subject of one waiting or running execution in the line of its action and key.
func QueueSubject(pack, action, key, id string) (string, error) {
	return join(prefixQueue, pack, action, KeyToken(key), id)
}

// RunSubject is where an admitted execution is handed to a pool of runners.
func RunSubject(pool, id string) (string, error) { return join(prefixRun, pool, id) }

// PoolSubject matches everything that is handed to a pool of runners.
func PoolSubject(pool string) (string, error) {
	if _, err := Token(pool); err != nil {
		return "", err
	}
	return prefixRun + "." + pool + ".*", nil
}

// LogSubject carries the output of one stream ("stdout" or "stderr") of an execution.
func LogSubject(id, stream string) (string, error) { return join(prefixLog, id, stream) }

// LogsOf matches both output streams of an execution.
func LogsOf(id string) (string, error) {
	if _, err := Token(id); err != nil {
		return "", err
	}
	return prefixLog + "." + id + ".*", nil
}

// EventTokens takes the subject of an event apart.
func EventTokens(subject string) (pack, trigger string, err error) {
	t, err := split(subject, prefixEvent, 2)
	if err != nil {
		return "", "", err
	}
	return t[0], t[1], nil
}

// EventTail is what follows the common prefix in the subject of an event, well formed or not.
func EventTail(subject string) string { return strings.TrimPrefix(subject, prefixEvent+".") }

// ExecutionTokens takes the subject of an execution apart.
func ExecutionTokens(subject string) (pack, action, id string, err error) {
	t, err := split(subject, prefixExecution, 3)
	if err != nil {
		return "", "", "", err
	}
	return t[0], t[1], t[2], nil
}

// QueueTokens takes the subject of a queued execution apart. The key is still encoded: two queues of one
// action are the same when their key tokens are.
func QueueTokens(subject string) (pack, action, keyToken, id string, err error) {
	t, err := split(subject, prefixQueue, 4)
	if err != nil {
		return "", "", "", "", err
	}
	return t[0], t[1], t[2], t[3], nil
}

// RunTokens takes the subject of a dispatched execution apart.
func RunTokens(subject string) (pool, id string, err error) {
	t, err := split(subject, prefixRun, 2)
	if err != nil {
		return "", "", err
	}
	return t[0], t[1], nil
}

// LogTokens takes the subject of a piece of output apart.
func LogTokens(subject string) (id, stream string, err error) {
	t, err := split(subject, prefixLog, 2)
	if err != nil {
		return "", "", err
	}
	return t[0], t[1], nil
}

func split(subject, prefix string, n int) ([]string, error) {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	t := strings.Split(rest, ".")
	if !ok || len(t) != n {
		return nil, fmt.Errorf("subject %.100q: want %s and %d tokens: %w", subject, prefix, n, ErrBadToken)
	}
	return t, nil
}

// NoKey is the token of a queue whose action has no concurrency key.
const NoKey = "_"

// maxPlainKey is the longest key that is readable in a subject; longer ones are replaced by their digest.
const maxPlainKey = 60

// KeyToken encodes a concurrency key, which is any text, as one subject token. Keys of letters, digits,
// '-' and '_' stand as they are, so that people can read them; other short ones are base64url behind '=',
// and long ones their SHA-256 behind '~'. The key as given travels in the header HeaderKey.
func KeyToken(key string) string {
	switch {
	case key == "":
		return NoKey
	case isPlain(key) && len(key) <= maxPlainKey && key != NoKey:
		return key
	case len(key) <= maxPlainKey:
		return "=" + base64.RawURLEncoding.EncodeToString([]byte(key))
	}
	sum := sha256.Sum256([]byte(key))
	return "~" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func isPlain(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}
