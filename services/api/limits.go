package api

import (
	"container/list"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
)

// Bounds of attempts. Whoever has used up a burst waits until the rate has given something back.
const (
	failureBurst = 30 // wrong tokens from one address
	failureEvery = time.Second
	signInBurst  = 10 // passwords that were tried from one address, or of one user
	signInEvery  = 10 * time.Second
	refusedBurst = 20 // refusals of one caller that the audit records
	refusedEvery = 10 * time.Second
	strangers    = 4096 // addresses, users and callers that are remembered; the one seen longest ago makes room
)

// limits bounds what callers and strangers may do at once. It is safe for concurrent use.
type limits struct {
	requests *buckets // of each token or user; nil: not bounded
	failures *buckets // by address
	signIns  *buckets // by address, and by user
	refused  *buckets // by caller or address
}

func newLimits(c Config) *limits {
	l := &limits{
		failures: newBuckets(rate.Every(failureEvery), c.FailureBurst), signIns: newBuckets(rate.Every(signInEvery), c.SignInBurst),
		refused: newBuckets(rate.Every(refusedEvery), refusedBurst),
	}
	if c.RequestRate > 0 {
		l.requests = newBuckets(rate.Limit(c.RequestRate), 2*c.RequestRate)
	}
	return l
}

// admit refuses a request of one who makes too many. The administrator of the installation is not bounded.
func (l *limits) admit(c *account.Caller) error {
	if l.requests == nil || c == root {
		return nil
	}
	if wait := l.requests.take(c.Name); wait > 0 {
		return limited(wait, c.Name+" makes more requests than it may; the limit is for all of its connections together")
	}
	return nil
}

// failed counts an attempt to prove something that failed, and says how long its address has to wait; none, when it
// may go on. Who is right may always go on: nobody can be kept out by others behind the same address.
func (l *limits) failed(r *http.Request, err error) time.Duration {
	if errors.Is(err, errNoCredential) {
		return 0
	}
	return l.failures.take(network(address(r)))
}

// network gives what belongs to one stranger: an address, or the /64 of one of version 6.
func network(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}

func limited(wait time.Duration, detail string) error {
	p := problem(http.StatusTooManyRequests, wire.CodeRateLimited, detail)
	p.RetryAfter = seconds(wait)
	return p
}

// tooMany says in the header, too, when to come back.
func tooMany(w http.ResponseWriter, wait time.Duration, detail string) *wire.Problem {
	w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	return problem(http.StatusTooManyRequests, wire.CodeRateLimited, detail)
}

func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// buckets are token buckets by name, of which only so many are remembered.
type buckets struct {
	rate  rate.Limit
	burst int

	mu    sync.Mutex // guards the fields below
	by    map[string]*list.Element
	order *list.List // of *bucket, the one used last in front
}

type bucket struct {
	name string
	*rate.Limiter
}

func newBuckets(r rate.Limit, burst int) *buckets {
	return &buckets{rate: r, burst: burst, by: map[string]*list.Element{}, order: list.New()}
}

// take takes one from a bucket. It tells how long to wait when there is none, and takes nothing then.
func (b *buckets) take(name string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.by[name]
	if !ok {
		at = b.order.PushFront(&bucket{name: name, Limiter: rate.NewLimiter(b.rate, b.burst)})
		b.by[name] = at
	}
	b.order.MoveToFront(at)
	for b.order.Len() > strangers {
		last := b.order.Remove(b.order.Back()).(*bucket)
		delete(b.by, last.name)
	}
	r := at.Value.(*bucket).Reserve()
	wait := r.Delay()
	if wait > 0 {
		r.Cancel()
	}
	return wait
}
