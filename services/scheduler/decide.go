package scheduler

import (
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/streams"
)

// decide takes every decision that is due and hands it to who carries it out.
func (t *term) decide() {
	now := time.Now()
	for {
		d, ok := t.state.Next(now)
		if !ok {
			break
		}
		switch d.Kind {
		case admission.Admit:
			t.admit(d.Admission, now)
		case admission.Refuse:
			t.dismiss.put(dismissal{Admission: d.Admission, status: streams.Canceled, class: d.Refused})
		case admission.Expire:
			t.dismiss.put(dismissal{Admission: d.Admission, status: streams.TimedOut, class: streams.ClassQueueTimeout})
		case admission.Requeue:
			t.requeue.put(d.Admission)
		}
	}
	t.alarm.set(t.state.Wake())
}

// admit sends an execution on its way. Where a rate counts, that is kept first.
func (t *term) admit(a admission.Admission, now time.Time) {
	if a.Bucket != "" {
		t.rated.put(a)
	} else {
		t.dispatch.put(a)
	}
	t.dues.add(now.Add(t.pace.claim), due{kind: dueClaim, id: a.ID})
	t.metrics.admitted(a)
}

// alarm is the timer of the machine: it runs only while the machine waits for a time.
type alarm struct {
	timer *time.Timer
	at    time.Time // when it fires; zero when it does not
}

func newAlarm() alarm {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return alarm{timer: timer}
}

func (a *alarm) set(at time.Time, needed bool) {
	if !needed {
		at = time.Time{}
	}
	if at.Equal(a.at) {
		return
	}
	a.at = at
	if needed {
		a.timer.Reset(time.Until(at))
	} else {
		a.timer.Stop()
	}
}

func (a *alarm) rang() { a.at = time.Time{} }

func (a *alarm) stop() { a.timer.Stop() }
