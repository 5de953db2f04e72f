package streams

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The first tokens of all subjects.
const (
	prefixEvent     = "attune.event"
	prefixDecision  = "attune.decision"
	prefixRuleSet   = "attune.ruleset"
	prefixExecution = "attune.execution"
	prefixQueue     = "attune.queue"
	prefixRun       = "attune.run"
	prefixLog       = "attune.log"
)

// Subjects that hold all messages of one kind, for subscriptions and stream declarations.
const (
	AllEvents     = prefixEvent + ".>"
	AllDecisions  = prefixDecision + ".>"
	AllRuleSets   = prefixRuleSet + ".>"
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
	RPCQueueList     = "attune.rpc.queue.list"     // request: QueueListRequest; reply: QueueList
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
	size := len(prefix)
	for _, t := range tokens {
		size += 1 + len(t)
	}
	var b strings.Builder
	b.Grow(size)
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

// RuleSetSubject is where a set of a trigger's rules is recorded, which decisions name.
func RuleSetSubject(pack, trigger, id string) (string, error) {
	return join(prefixRuleSet, pack, trigger, id)
}

// IsRuleSet tells the subjects of DECISIONS apart.
func IsRuleSet(subject string) bool { return strings.HasPrefix(subject, prefixRuleSet+".") }

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

// QueueAttemptSubject is QueueSubject for an attempt. A later one has a subject of its own, so that it can stand
// in line before the message of the one before it goes.
func QueueAttemptSubject(pack, action, key, id string, attempt int) (string, error) {
	subject, err := QueueSubject(pack, action, key, id)
	if err != nil || attempt <= 1 {
		return subject, err
	}
	return subject + "." + strconv.Itoa(attempt), nil
}

// OnceKey is the key of a rule and a once_per key in the bucket ONCE. Their digest stands for them: a key is any
// text.
func OnceKey(rule, key string) string { return "k" + hexDigest(rule, key) }

// RateKey is the key of a token bucket in RATES: that of an action, and of one of its concurrency keys where the
// rate is per key.
func RateKey(action, key string) string { return "k" + hexDigest(action, key) }

// EnvironmentKey is the key of what a runner reports of a version of a pack in the bucket ENVIRONMENTS.
func EnvironmentKey(digest, runner string) string { return digest + "." + runner }

// EnvironmentTokens takes such a key apart.
func EnvironmentTokens(key string) (digest, runner string, ok bool) { return strings.Cut(key, ".") }

// InstallLog is the id under which a runner writes the log of an installation, to be read as an execution's.
func InstallLog(digest, runner string, generation int) string {
	return "install-" + digest[:min(12, len(digest))] + "-" + runner + "-" + strconv.Itoa(generation)
}

// SensorRestartSubject is where the host of a sensor listens for the wish to start it again. Both are tokens; the
// reply is empty, or says why not.
func SensorRestartSubject(pack, sensor string) (string, error) {
	return join(prefixSensorRestart, pack, sensor)
}

const prefixSensorRestart = "attune.rpc.sensor.restart"

// AllSensorRestarts matches the subject of every sensor.
const AllSensorRestarts = prefixSensorRestart + ".*.*"

// SensorRestartTokens takes such a subject apart.
func SensorRestartTokens(subject string) (pack, sensor string, err error) {
	t, err := split(subject, prefixSensorRestart, 2)
	if err != nil {
		return "", "", err
	}
	return t[0], t[1], nil
}

// EntrySubject is the subject behind an entry of a key-value bucket, for writes that the client's API does not
// offer. The key must be one token.
func EntrySubject(bucket, key string) (string, error) { return join("$KV."+bucket, key) }

func hexDigest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
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
	if err != nil { // a later attempt
		t, err = split(subject, prefixQueue, 5)
	}
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
