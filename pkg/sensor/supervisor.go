package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

// lookEvery is how often a host that waits for time to pass looks whether it has.
const lookEvery = 250 * time.Millisecond

// entry is what the bus says of a sensor.
type entry struct {
	state    streams.SensorState
	revision uint64
}

// supervisor decides which sensors this host has, while it holds its lease. It belongs to one goroutine.
type supervisor struct {
	*Host
	lost context.Context // ends with the lease

	snap     *definitions.Snapshot // nil until definitions were learned
	versions map[secret.Ref]string // of secrets
	wants    map[pack.Ref]*want
	hosts    map[string]bool // those with a lease
	entries  map[pack.Ref]entry
	tended   map[pack.Ref]*tender
	since    map[pack.Ref]time.Time // since when a sensor is free
	rests    map[pack.Ref]rest      // sensors that this host could not start, or get
	unread   int                    // watches whose first answer is not complete

	ended chan *tender
}

// rest is a pause before this host competes for a sensor again.
type rest struct {
	print string // of what could not be started; another is tried at once
	until time.Time
}

// serve runs sensors until stop ends, or lost does: then everything ends at once.
func (h *Host) serve(stop, lost context.Context) error {
	ctx, cancel := context.WithCancel(lost)
	defer cancel()
	s := &supervisor{
		Host: h, lost: lost, wants: map[pack.Ref]*want{}, hosts: map[string]bool{h.ID: true}, entries: map[pack.Ref]entry{},
		tended: map[pack.Ref]*tender{}, since: map[pack.Ref]time.Time{}, rests: map[pack.Ref]rest{}, ended: make(chan *tender), unread: 2,
	}
	leases, err := h.leases.Watch(ctx, Leases)
	if err != nil {
		return s.retry(lost, "watch leases", err)
	}
	defer func() { _ = leases.Stop() }() // it ends with the context at the latest
	states, err := h.kv.WatchAll(ctx)
	if err != nil {
		return s.retry(lost, "watch sensors", err)
	}
	defer func() { _ = states.Stop() }() // likewise
	requests := make(chan *nats.Msg, 16)
	sub, err := h.Bus.Conn.ChanSubscribe(streams.AllSensorRestarts, requests)
	if err != nil {
		return s.retry(lost, "listen for restarts", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has been closed
	token(h.news)                            // what was learned before
	secrets, stopWatching := h.watchSecrets(ctx)
	defer stopWatching()
	s.loop(stop, leases.Updates(), states.Updates(), requests, secrets)
	s.finish()
	return context.Cause(stop)
}

// retry gives the lease back for a moment.
func (s *supervisor) retry(ctx context.Context, what string, err error) error {
	s.log.WarnContext(ctx, "sensors wait", slog.String("for", what), slog.Any(logging.Error, err))
	wait, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	<-wait.Done()
	return nil
}

// loop follows everything that may change which sensors this host has.
func (s *supervisor) loop(stop context.Context, leases, states <-chan jetstream.KeyValueEntry, requests <-chan *nats.Msg, secrets <-chan map[secret.Ref]string) {
	for {
		var look <-chan time.Time
		if s.waits() {
			look = time.After(lifecycle.UntilBeat(lookEvery))
		}
		select {
		case <-stop.Done():
			return
		case <-s.lost.Done():
			return
		case e, open := <-leases:
			if !open {
				return
			}
			s.seeHost(e)
		case e, open := <-states:
			if !open {
				return
			}
			s.seeState(e)
		case <-s.news:
			s.learn(s.learned.Load(), s.versions)
		case s.versions = <-secrets:
			s.learn(s.snap, s.versions)
		case m := <-requests:
			s.restart(m)
		case t := <-s.ended:
			s.forget(t)
		case <-look:
			s.sweep()
		}
		s.decide()
	}
}

// waits tells whether time alone may give this host something to do: there is a sensor that it may take later, or an
// entry that is to be removed. Whatever else there is to do comes with a change.
func (s *supervisor) waits() bool {
	if s.snap == nil || s.unread > 0 {
		return false
	}
	for ref := range s.wants {
		if s.tended[ref] == nil && s.free(s.entries[ref].state) {
			return true
		}
	}
	for ref, e := range s.entries {
		if s.left(ref, e) {
			return true
		}
	}
	return false
}

// left tells whether an entry is of a sensor that does not exist any more and that nobody has.
func (s *supervisor) left(ref pack.Ref, e entry) bool {
	_, known := s.snap.Sensors[ref]
	return !known && e.revision != 0 && s.tended[ref] == nil && s.free(e.state)
}

// finish ends all sensors and returns when they have ended.
func (s *supervisor) finish() {
	for _, t := range s.tended {
		t.leave(errStopping)
	}
	for len(s.tended) > 0 {
		t := <-s.ended
		delete(s.tended, t.ref)
	}
}

func (s *supervisor) seeHost(e jetstream.KeyValueEntry) {
	if e == nil {
		s.unread--
		return
	}
	owner := OwnerOf(e.Key())
	if e.Operation() == jetstream.KeyValuePut || owner == s.ID {
		s.hosts[owner] = true
		return
	}
	delete(s.hosts, owner)
}

func (s *supervisor) seeState(e jetstream.KeyValueEntry) {
	if e == nil {
		s.unread--
		return
	}
	ref, err := pack.ParseRef(e.Key())
	if err != nil {
		return // nothing of ours
	}
	one := entry{revision: e.Revision()}
	if e.Operation() == jetstream.KeyValuePut {
		if one.state, err = parseState(e.Value()); err != nil {
			s.log.WarnContext(s.lost, "state of sensor cannot be read", slog.String("sensor", e.Key()), slog.Any(logging.Error, err))
		}
	} else {
		one.revision = 0
	}
	s.entries[ref] = one
}

// learn works out which sensors are wanted.
func (s *supervisor) learn(snap *definitions.Snapshot, versions map[secret.Ref]string) {
	if snap == nil {
		return
	}
	wants, err := wanted(snap, versions)
	if err != nil {
		s.log.ErrorContext(s.lost, "sensors stay as they are", slog.Any(logging.Error, err))
		return
	}
	s.snap, s.wants = snap, wants
	for ref, t := range s.tended {
		if w := wants[ref]; w != nil {
			t.become(w)
		} else {
			t.leave(errUnwanted)
		}
	}
	s.tidy()
}

// tidy lets go of what belongs to nothing any more.
func (s *supervisor) tidy() {
	keep := map[string]bool{}
	for _, w := range s.wants {
		keep[w.digest] = true
	}
	for _, t := range s.tended {
		keep[t.record.now().PackDigest] = true
	}
	if err := s.Programs.Keep(keep); err != nil {
		s.log.WarnContext(s.lost, "old packs not removed", slog.Any(logging.Error, err))
	}
}

// sweep takes away what the bus says of sensors that do not exist any more.
func (s *supervisor) sweep() {
	if s.snap == nil || s.unread > 0 {
		return
	}
	for ref, e := range s.entries {
		if s.left(ref, e) {
			s.remove(ref, e)
		}
	}
}

// remove takes the entry of a sensor away that does not exist any more, with its logs.
func (s *supervisor) remove(ref pack.Ref, e entry) {
	ctx, cancel := context.WithTimeout(s.lost, writeTimeout)
	defer cancel()
	for _, id := range append(e.state.Logs, e.state.Log) {
		if id == "" {
			continue
		}
		if err := s.logs.Remove(ctx, id); err != nil {
			s.log.WarnContext(ctx, "log of sensor not removed", slog.String("log", id), slog.Any(logging.Error, err))
		}
	}
	err := errors.Join(s.kv.Delete(ctx, ref.String(), jetstream.LastRevision(e.revision)), s.folder.forget(ref))
	if err != nil && !streams.IsStale(err) {
		s.log.WarnContext(ctx, "sensor not forgotten", slog.String("sensor", ref.String()), slog.Any(logging.Error, err))
		return
	}
	s.metrics.forget(ref.String())
	delete(s.entries, ref)
}

// free tells whether nobody has a sensor. What this host had before it lost its lease is free for it too.
func (s *supervisor) free(st streams.SensorState) bool {
	return st.Owner == "" || st.Owner == s.ID || !s.hosts[st.Owner]
}

// decide takes sensors that nobody has.
func (s *supervisor) decide() {
	if s.snap == nil || s.unread > 0 || s.DB != nil && s.versions == nil {
		return
	}
	now, share := time.Now(), (len(s.wants)+len(s.hosts)-1)/len(s.hosts)
	for ref, w := range s.wants {
		e := s.entries[ref]
		if s.tended[ref] != nil || !s.free(e.state) {
			delete(s.since, ref)
			continue
		}
		if _, seen := s.since[ref]; !seen {
			s.since[ref] = now
		}
		if r := s.rests[ref]; r.print == w.print && now.Before(r.until) {
			continue
		}
		if len(s.tended) >= share && now.Before(s.since[ref].Add(s.Pace.Yield)) {
			continue // others have fewer
		}
		delete(s.rests, ref)
		s.tended[ref] = s.tend(s.lost, w, e.state, e.revision, func(t *tender) { s.ended <- t })
	}
}

// forget lets go of a sensor that has ended here.
func (s *supervisor) forget(t *tender) {
	delete(s.tended, t.ref)
	delete(s.since, t.ref)
	switch {
	case t.failed != "":
		s.rests[t.ref] = rest{print: t.failed, until: time.Now().Add(s.Pace.Failed)}
	case errors.Is(context.Cause(t.stay), context.Canceled): // it was never had, or lost
		s.rests[t.ref] = rest{print: t.want.Load().print, until: time.Now().Add(2 * lookEvery)} // the entry's change comes first
	}
	s.tidy()
}

// restart starts a sensor of this host again. Nobody else answers for it.
func (s *supervisor) restart(m *nats.Msg) {
	name, sensor, err := streams.SensorRestartTokens(m.Subject)
	if err != nil {
		return
	}
	ref := pack.Ref{Pack: name, Name: sensor}
	_, rests := s.rests[ref]
	switch t := s.tended[ref]; {
	case t != nil:
		token(t.again)
	case rests && s.wants[ref] != nil:
		delete(s.rests, ref)
		s.since[ref] = time.Time{}
	default:
		return
	}
	if err := m.Respond(nil); err != nil {
		s.log.WarnContext(s.lost, "restart not confirmed", slog.String("sensor", ref.String()), slog.Any(logging.Error, fmt.Errorf("respond: %w", err)))
	}
}
