package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/attune/attune/pkg/api"
)

// handler is a connection to an API that is only this function, without a network: its waiting can be fake.
type handler func(w http.ResponseWriter, attempt int) error

type attempts struct {
	handle handler
	n      int
	at     []time.Duration // when each was made
	began  time.Time
}

func (a *attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	a.n, a.at = a.n+1, append(a.at, time.Since(a.began))
	w := httptest.NewRecorder()
	if err := a.handle(w, a.n); err != nil {
		return nil, err
	}
	return w.Result(), r.Context().Err()
}

func connectTo(t *testing.T, c Config, handle handler) (*Client, *attempts) {
	t.Helper()
	c.URL = "http://attune.example"
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	a := &attempts{handle: handle, began: time.Now()}
	out.http.Transport = a
	return out, a
}

// refuse answers with a refusal as the API does.
func refuse(w http.ResponseWriter, status int, code string, after int) error {
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(api.Problem{Status: status, Code: code, Detail: "later"})
}

// until gives a handler that refuses so many attempts.
func until(n, status int, code string, after int) handler {
	return func(w http.ResponseWriter, attempt int) error {
		if attempt <= n {
			return refuse(w, status, code, after)
		}
		w.WriteHeader(http.StatusAccepted)
		return json.NewEncoder(w).Encode(map[string]string{"id": "x"})
	}
}

func run(ctx context.Context, c *Client) error {
	_, err := c.Run(ctx, api.ExecutionRequest{Action: "a.b"}, "key")
	return err
}

func TestARefusalForNowIsWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		later := func(p *Problem, waited time.Duration) {
			if p.Code != api.CodeSchedulerDown {
				t.Errorf("told of %v", p)
			}
			told = append(told, waited)
		}
		c, made := connectTo(t, Config{Later: later}, until(5, http.StatusServiceUnavailable, api.CodeSchedulerDown, 2))
		if err := run(t.Context(), c); err != nil || made.n != 6 {
			t.Errorf("after %d attempts: %v", made.n, err)
		}
		for i, at := range made.at {
			if earliest := time.Duration(2*i) * time.Second; at < earliest || at > earliest+5*time.Second {
				t.Errorf("attempt %d was made after %s", i+1, at)
			}
		}
		if len(told) != 5 || told[0] < 2*time.Second || told[4] != made.at[5] {
			t.Errorf("told of %v, attempts at %v", told, made.at)
		}
	})
}

func TestPausesGrowWithoutAWordOnHowLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, made := connectTo(t, Config{}, func(w http.ResponseWriter, _ int) error {
			return refuse(w, http.StatusServiceUnavailable, api.CodeBusDown, 1)
		})
		err := run(t.Context(), c)
		if Code(err) != api.CodeBusDown || errors.Is(err, ErrUnreachable) {
			t.Errorf("the last refusal is the error: %v", err)
		}
		if last := made.at[made.n-1]; last < 10*time.Second || last > LaterPatience || made.n > 16 {
			t.Errorf("%d attempts, the last after %s", made.n, last)
		}
	})
}

func TestWhoWantsToBeLeftAloneForLongerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, made := connectTo(t, Config{}, until(100, http.StatusTooManyRequests, api.CodeRateLimited, 60))
		if err := run(t.Context(), c); Code(err) != api.CodeRateLimited || made.n != 1 || time.Since(made.began) != 0 {
			t.Errorf("%d attempts in %s: %v", made.n, time.Since(made.began), err)
		}
	})
}

func TestWhatIsNoRefusalForNowIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]handler{
		"a conflict":                  until(100, http.StatusConflict, api.CodeQueueFull, 2),
		"a fault":                     until(100, http.StatusInternalServerError, api.CodeInternal, 2),
		"without a word on how long":  until(100, http.StatusServiceUnavailable, api.CodeBusDown, 0),
		"a proxy's page without such": func(w http.ResponseWriter, _ int) error { w.WriteHeader(http.StatusServiceUnavailable); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, made := connectTo(t, Config{}, answer)
				if err := run(t.Context(), c); err == nil || made.n != 1 {
					t.Errorf("%d attempts: %v", made.n, err)
				}
			})
		})
	}
}

func TestWhoHasNoPatienceHearsTheRefusalAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := until(100, http.StatusServiceUnavailable, api.CodeSchedulerDown, 2)
		for name, config := range map[string]Config{"at all": {Patience: -1}, "with refusals": {LaterPatience: -1}} {
			if c, made := connectTo(t, config, down); Code(run(t.Context(), c)) != api.CodeSchedulerDown || made.n != 1 {
				t.Errorf("%s: %d attempts", name, made.n)
			}
		}
		c, made := connectTo(t, Config{}, down)
		if err := run(t.Context(), c.Impatient()); Code(err) != api.CodeSchedulerDown || made.n != 1 {
			t.Errorf("%d attempts: %v", made.n, err)
		}
	})
}

// TestWhatMustNotHappenTwiceIsRepeatedOnlyIfNothingHappened has every refusal for now answer requests of each kind.
func TestWhatMustNotHappenTwiceIsRepeatedOnlyIfNothingHappened(t *testing.T) {
	t.Parallel()
	requests := map[string]func(context.Context, *Client) error{
		"GET": func(ctx context.Context, c *Client) error { _, err := c.Pack(ctx, "a"); return err },
		"PUT": func(ctx context.Context, c *Client) error {
			_, err := c.SetPackConfig(ctx, "a", []byte("{}"))
			return err
		},
		"DELETE": func(ctx context.Context, c *Client) error { return c.RevokeToken(ctx, "a") },
		"a key":  run,
		"an event with an id": func(ctx context.Context, c *Client) error {
			_, err := c.Publish(ctx, api.EventRequest{Trigger: "a.b", ID: "x"})
			return err
		},
	}
	once := func(ctx context.Context, c *Client) error {
		_, err := c.Publish(ctx, api.EventRequest{Trigger: "a.b"})
		return err
	}
	for code, safe := range map[string]bool{
		api.CodeRateLimited: true, api.CodeTooManyStreams: true, api.CodeSchedulerDown: true, api.CodeEventsFull: true,
		api.CodeBusDown: false, api.CodeDatabaseDown: false, api.CodeSecretsUnavailable: false, api.CodeIssuerDown: false,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for name, ask := range requests {
					if c, made := connectTo(t, Config{}, until(1, http.StatusServiceUnavailable, code, 2)); ask(t.Context(), c) != nil || made.n != 2 {
						t.Errorf("%s: %d attempts", name, made.n)
					}
				}
				c, made := connectTo(t, Config{}, until(1, http.StatusServiceUnavailable, code, 2))
				if err := once(t.Context(), c); (err == nil) != safe || (made.n == 2) != safe {
					t.Errorf("an event without an id: %d attempts: %v", made.n, err)
				}
			})
		})
	}
}

// TestAnAPIThatGoesWhileItSaysLater is away for longer than what is away is waited for, though not at one time.
func TestAnAPIThatGoesWhileItSaysLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("connection reset")
		c, made := connectTo(t, Config{}, func(w http.ResponseWriter, attempt int) error {
			switch {
			case attempt <= 3:
				return refuse(w, http.StatusServiceUnavailable, api.CodeBusDown, 2)
			case attempt <= 5:
				return gone
			}
			return until(0, 0, "", 0)(w, attempt)
		})
		if err := run(t.Context(), c); err != nil || made.n != 6 {
			t.Errorf("%d attempts at %v: %v", made.n, made.at, err)
		}
		c, made = connectTo(t, Config{}, func(w http.ResponseWriter, attempt int) error {
			if attempt%2 == 0 {
				return gone
			}
			return refuse(w, http.StatusServiceUnavailable, api.CodeBusDown, 1)
		})
		if err := run(t.Context(), c); err == nil || time.Since(made.began) > LaterPatience+Patience {
			t.Errorf("given up after %s: %v", time.Since(made.began), err)
		}
	})
}

func TestFollowingWaitsAsLongAsItIsToldTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := 0
		c, made := connectTo(t, Config{Later: func(*Problem, time.Duration) { told++ }}, func(w http.ResponseWriter, attempt int) error {
			if attempt <= 4 {
				return refuse(w, http.StatusTooManyRequests, api.CodeTooManyStreams, 3)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, err := w.Write([]byte("event: event\ndata: {}\n\n"))
			return err
		})
		err := c.Tail(t.Context(), nil, func(api.Event) error { return ErrStop })
		if err != nil || made.n != 5 || told != 4 || time.Since(made.began) != 12*time.Second {
			t.Errorf("%d attempts, told %d times, in %s: %v", made.n, told, time.Since(made.began), err)
		}
		c, made = connectTo(t, Config{}, until(1000, http.StatusServiceUnavailable, api.CodeBusDown, 2))
		if err := c.Tail(t.Context(), nil, nil); Code(err) != api.CodeBusDown || time.Since(made.began) > LaterPatience {
			t.Errorf("given up after %s: %v", time.Since(made.began), err)
		}
	})
}

func TestAnEndOfTheContextEndsTheWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c, made := connectTo(t, Config{}, until(100, http.StatusServiceUnavailable, api.CodeBusDown, 2))
		if err := run(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(made.began) != time.Second {
			t.Errorf("after %s: %v", time.Since(made.began), err)
		}
	})
}

func TestRetryAfterIsReadInBothItsForms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for text, want := range map[string]int{
			"": 0, "soon": 0, "0": 1, "-3": 1, "7": 7, "999999999": 3600,
			time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat): 9, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 1,
		} {
			if got := retryAfter(http.Header{"Retry-After": {text}}); got != want {
				t.Errorf("%q: %d, want %d", text, got, want)
			}
		}
	})
}
