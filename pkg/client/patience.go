package client

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/lifecycle"
)

const (
	// Patience is how long requests are repeated while the API cannot be reached, unless Config says otherwise.
	Patience = 2 * time.Second
	// LaterPatience is how long requests are repeated that the API refuses for now, unless Config says otherwise.
	// Another scheduler takes over within some ten seconds.
	LaterPatience = 15 * time.Second
	// FollowPatience is how long following goes on trying to resume, unless Config says otherwise.
	FollowPatience = 30 * time.Second
)

// Impatient gives a client of the same API, over the same connections, that repeats no request: for who asks again
// anyway, or would rather know how the API stands. Following still resumes.
func (c *Client) Impatient() *Client {
	hasty := *c
	hasty.config.Patience, hasty.config.LaterPatience = -1, -1
	return &hasty
}

// pauses are those between the attempts of one request, as a backoff.BackOff that goes by why the last one failed: an
// API that cannot be reached is given up sooner than one that is there and says "later".
type pauses struct {
	away, later time.Duration // the patience with the one and with the other
	grow        backoff.BackOff
	tell        func(refusal *Problem, waited time.Duration) // may be nil

	began time.Time
	heard time.Time // since then the API is missed: the beginning, or the attempt after its last answer
	err   error     // of the last attempt
}

// pauses between the attempts of a request.
func (c *Client) pauses(grow backoff.BackOff) *pauses {
	now := time.Now()
	return &pauses{
		away: c.config.Patience, later: c.config.LaterPatience, grow: grow, tell: c.config.Later, began: now, heard: now,
	}
}

func growing() backoff.BackOff { return lifecycle.Pauses(50*time.Millisecond, 2*time.Second) }

// Reset is called before the first attempt.
func (p *pauses) Reset() { p.grow.Reset() }

// NextBackOff gives the pause after the last attempt, and backoff.Stop when patience has ended, or would while the
// API wants to be left alone.
func (p *pauses) NextBackOff() time.Duration {
	pause, since, patience := p.grow.NextBackOff(), p.heard, p.away
	refusal := refusedForNow(p.err)
	if refusal != nil {
		pause, since, patience = max(pause, time.Duration(refusal.RetryAfter)*time.Second), p.began, p.later
		p.heard = time.Now().Add(pause) // it is not missed before it is asked again
	}
	if time.Since(since)+pause > patience {
		return backoff.Stop
	}
	if refusal != nil && p.tell != nil {
		p.tell(refusal, time.Since(p.began)+pause)
	}
	return pause
}

// judge notes how an attempt ended, and makes an error permanent after which the request may not be made again.
func (p *pauses) judge(r request, err error) error {
	p.err = err
	if err == nil || mayRepeat(r, err) {
		return err
	}
	return backoff.Permanent(err)
}

func (r request) repeatable() bool { return r.safe || r.method != http.MethodPost }

// mayRepeat tells whether a request that failed may be made again: when that is harmless, or nothing can have come of
// the first.
func mayRepeat(r request, err error) bool {
	if refusal := refusedForNow(err); refusal != nil {
		return r.repeatable() || nothingDone(refusal.Code)
	}
	return errors.Is(err, ErrUnreachable) && (r.repeatable() || errors.Is(err, syscall.ECONNREFUSED))
}

// refusedForNow gives the refusal by which the API said that it may answer otherwise later, or nil. Busy proxies in
// front of it say it in the same way.
func refusedForNow(err error) *Problem {
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.RetryAfter == 0 || p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests {
		return nil
	}
	return p
}

// nothingDone tells of the code of a refusal for now whether nothing was done of what was asked, whatever that was.
func nothingDone(code string) bool {
	switch code {
	case api.CodeRateLimited, // the API counts requests, and attempts to sign in, before it does anything else
		api.CodeTooManyStreams, // the stream was not begun, and a stream changes nothing
		api.CodeSchedulerDown,  // a scheduler is only asked how things stand; once something is accepted its silence is no error
		api.CodeEventsFull:     // it is NATS's own answer that it did not store the event
		return true
	}
	// bus_unavailable: what was published may be stored although NATS's answer did not come.
	// database_unavailable: so may what was committed.
	// secrets_unavailable: some of several secrets may have been sealed anew, or their keys changed.
	// issuer_unavailable: only pages for browsers answer with it.
	// Without a code it is no word of the API's.
	return false
}

// retryAfter reads how many seconds an answer says to wait, at least one, and 0 when it says nothing.
func retryAfter(h http.Header) int {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil {
		return min(max(n, 1), int(time.Hour/time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(int(math.Ceil(time.Until(at).Seconds())), 1), int(time.Hour/time.Second))
}
