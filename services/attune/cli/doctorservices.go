package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/lifecycle"
)

// checkServices tells who works behind the API, and what is left undone.
func checkServices(ctx context.Context, c *client.Client) []finding {
	ctx, cancel := context.WithTimeout(ctx, 2*checkPatience)
	defer cancel()
	services, err := settled(ctx, c)
	if err != nil {
		return []finding{{Check: "services", Level: levelWarn, Detail: err.Error()}}
	}
	var out []finding
	for _, s := range services {
		out = append(out, checkService(s, time.Now()))
	}
	return out
}

// settled asks again for some time where a service is being taken over, or seems to be.
func settled(ctx context.Context, c *client.Client) (all []api.Service, err error) {
	const patience, pause = 4 * time.Second, 250 * time.Millisecond // a takeover takes the TTL of a lease at most
	for until := time.Now().Add(patience); ; lifecycle.Pause(ctx, pause) {
		all, err = c.Services(ctx)
		moving := slices.ContainsFunc(all, func(s api.Service) bool { return s.State == api.ServiceAbsent || s.State == api.ServiceStarting })
		if err != nil || !moving || time.Now().After(until) {
			return all, err
		}
	}
}

func checkService(s api.Service, now time.Time) finding {
	f := ok("service: "+s.Name, "works")
	switch s.State {
	case api.ServiceAbsent:
		f.Level, f.Detail, f.Advice = levelFail, "no copy of it works", "start attune serve "+s.Name+", or read why it does not in its log"
	case api.ServiceStarting:
		f.Level, f.Detail = levelWarn, "a copy has just taken over and does not answer yet"
	case api.ServiceLate:
		f.Level, f.Detail, f.Advice = levelWarn, "works, and is late", "its log says what holds it up"
	}
	for _, b := range s.Backlogs {
		if b.Oldest != nil && s.State != api.ServiceActive {
			f.Detail += fmt.Sprintf("; %d messages of %s wait, the first for %s", b.Messages, b.Stream, age(now.Sub(*b.Oldest)))
		}
	}
	return f
}

// checkRunners tells whether anybody runs actions.
func checkRunners(ctx context.Context, c *client.Client) finding {
	const check = "runners"
	runners, _, err := c.Runners(ctx, 1000)
	if err != nil {
		return finding{Check: check, Level: levelWarn, Detail: err.Error()}
	}
	if len(runners) == 0 {
		return finding{Check: check, Level: levelFail, Detail: "none lives", Advice: "start attune serve runner, or read why it does not in its log"}
	}
	busy, slots := 0, 0
	for _, r := range runners {
		busy, slots = busy+r.Running, slots+r.Slots
	}
	return ok(check, "%d live, %d of %d slots are busy", len(runners), busy, slots)
}
