package execution

import (
	"time"

	"github.com/attune/attune/pkg/plainjson"
	"github.com/attune/attune/streams"
)

// factReader reads facts as NewMessage writes them, which is nearly all that there are.
type factReader struct {
	*plainjson.Reader
	fact Fact
}

// readFact reads a fact that is in the plain form, and tells whether it is.
func readFact(data []byte) (Fact, bool) {
	r := factReader{Reader: plainjson.New(data)}
	r.Object(func(key string) bool { return r.request(key) || r.attempt(key) || r.terms(key) })
	return r.fact, r.Done()
}

// request reads what was known when the execution was requested.
func (r *factReader) request(key string) bool {
	f := &r.fact
	switch key {
	case "v":
		f.Version = r.Int()
	case "id":
		f.ID = r.Text()
	case "action":
		f.Action = r.Text()
	case "pack_digest":
		f.PackDigest = r.Text()
	case "requested_at":
		f.RequestedAt = r.Time()
	case "requested_by":
		f.RequestedBy = r.Text()
	case "key":
		f.Key = r.Text()
	case "limit":
		f.Limit = r.Int()
	case "pool":
		f.Pool = r.Text()
	case "rule":
		f.Rule = r.Text()
	case "event":
		f.Event = r.Text()
	case "retry_of":
		f.RetryOf = r.Text()
	case "hops":
		f.Hops = r.Int()
	case "parameters":
		f.Parameters = r.Raw()
	default:
		return false
	}
	return true
}

// attempt reads how far the attempt is.
func (r *factReader) attempt(key string) bool {
	f := &r.fact
	switch key {
	case "status":
		f.Status = Status(r.Text())
	case "attempt":
		f.Attempt = r.Int()
	case "at":
		f.At = r.Time()
	case "runner":
		f.Runner = r.Text()
	case "started_at":
		f.StartedAt = r.time()
	case "ended_at":
		f.EndedAt = r.time()
	case "exit_code":
		code := r.Int()
		f.ExitCode = &code
	case "signal":
		f.Signal = r.Text()
	case "result":
		f.Result = r.Raw()
	case "error":
		f.Error = plainjson.Value(r.Reader, f.Error)
	case "output":
		r.output()
	case "by":
		f.By = r.Text()
	default:
		return false
	}
	return true
}

// terms reads what the action says of admission and retries, and what became of earlier attempts.
func (r *factReader) terms(key string) bool {
	f := &r.fact
	switch key {
	case "priority":
		f.Priority = streams.Priority(r.Text())
	case "pack_limit":
		f.PackLimit = r.Int()
	case "rate":
		f.Rate = r.Text()
	case "queue_timeout_seconds":
		f.QueueTimeoutSeconds = plainjson.Value(r.Reader, f.QueueTimeoutSeconds)
	case "reject":
		f.Reject = r.Bool()
	case "retry":
		f.Retry = plainjson.Value(r.Reader, f.Retry)
	case "not_before":
		f.NotBefore = r.time()
	case "previous":
		f.Previous = plainjson.Value(r.Reader, f.Previous)
	default:
		return false
	}
	return true
}

func (r *factReader) time() *time.Time {
	t := r.Time()
	return &t
}

func (r *factReader) output() {
	if r.fact.Output == nil {
		r.fact.Output = &streams.Output{}
	}
	o := r.fact.Output
	r.Object(func(key string) bool {
		switch key {
		case "stdout_bytes":
			o.StdoutBytes = r.Int64()
		case "stderr_bytes":
			o.StderrBytes = r.Int64()
		case "truncated":
			o.Truncated = r.Bool()
		case "dropped_bytes":
			o.Dropped = r.Int64()
		case "held":
			o.Held = r.Bool()
		case "log_bytes":
			o.LogBytes = r.Int64()
		case "stored_bytes":
			o.StoredBytes = r.Int64()
		case "incomplete":
			o.Incomplete = r.Bool()
		default:
			return false
		}
		return true
	})
}
