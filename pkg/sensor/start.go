package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/streams"
)

// giveUpAfter is how long a host that stops, or has lost the sensor, goes on trying to publish what the sensor wrote.
const giveUpAfter = time.Minute

// errNoSecrets is returned when a sensor declares secrets and the host has no access to any.
var errNoSecrets = errors.New("this host has no access to secrets")

// start runs the sensor once, from the making of its program to the last line that it wrote. Its error says why it
// does not run any more; a failure says that it cannot.
func (t *tender) start(w *want) error {
	t.prune(t.alive)
	now := time.Now().UTC()
	t.record.set(func(st *streams.SensorState) {
		st.Status, st.PackDigest, st.StartedAt, st.RetryAt, st.PID = streams.SensorStarting, w.digest, &now, nil, 0
		st.Events, st.Rejected = 0, 0
	})
	j, err := newJournal(t.h.logs, t.log, t.ref, t.record)
	if err != nil {
		return err
	}
	defer j.close(context.WithoutCancel(t.alive))
	ctx, end := context.WithCancelCause(context.WithoutCancel(t.alive))
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		t.watch(ctx, w, end)
	}()
	err = t.execute(ctx, w, j)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	end(nil)
	<-watching
	return err
}

// execute makes the program ready and runs it.
func (t *tender) execute(ctx context.Context, w *want, j *journal) error {
	program, err := t.h.program(ctx, w, j)
	if err != nil {
		j.note("not started: %v", err)
		return err
	}
	defer program.Release()
	m, err := t.material(ctx, w)
	if err != nil {
		j.note("not started: %v", err)
		return err
	}
	j.hide = mask.New(m.hidden()...)
	stdin, err := w.input(j.id, m)
	if err != nil {
		return &failure{err}
	}
	res, err := t.launch(ctx, w, program, stdin, j)
	if err != nil {
		j.note("not started: %v", err)
		return &failure{err}
	}
	why := ending(res)
	j.note("%s", why)
	if last := j.lastLine(); last != "" {
		why += ": " + last
	}
	return errors.New(why)
}

// ending says how a program ended.
func ending(r process.Result) string {
	switch {
	case r.Canceled && r.Killed:
		return "was asked to end, and killed because it did not"
	case r.Canceled:
		return "was asked to end"
	case r.Signal != 0:
		return fmt.Sprintf("ended by signal %d (%v)", int(r.Signal), r.Signal)
	}
	return fmt.Sprintf("ended with status %d", r.ExitCode)
}

// launch runs the program until it has ended and everything that it wrote is published, or given up.
func (t *tender) launch(ctx context.Context, w *want, p Program, stdin []byte, j *journal) (process.Result, error) {
	dir, err := t.h.folder.work(t.ref)
	if err != nil {
		return process.Result{}, err
	}
	publishing, giveUp := t.patience()
	defer giveUp()
	out := t.newOutput(publishing, w, j)
	mark := envFolder + "=" + dir + string(filepath.Separator)
	shown := j.hide.Writer(j)
	stderr := j.hide.Commands(shown, shown, &mask.Added{})
	t.h.metrics.starts.WithLabelValues(t.ref.String()).Inc()
	res, err := t.h.launcher.Run(ctx, process.Spec{
		Path: p.Path, Argv0: p.Argv0, Args: p.Args, Dir: dir, Stdin: stdin, Stdout: out, Stderr: stderr,
		Env:     append(p.Env, mark, "ATTUNE_SENSOR="+t.ref.String(), "HOME="+dir, "TMPDIR="+dir, "LANG=C.UTF-8"),
		Environ: mark, Grace: t.h.Grace, Kill: t.alive.Done(), Started: t.running,
	})
	_ = stderr.Close() // a journal takes everything
	_ = shown.Close()  // likewise
	out.close()
	return res, err
}

// envFolder names a sensor's folder in its environment.
const envFolder = "ATTUNE_SENSOR_DIR"

func (t *tender) running(pid int) {
	t.log.InfoContext(t.alive, "sensor started", slog.Int("pid", pid))
	t.record.set(func(st *streams.SensorState) { st.Status, st.PID = streams.SensorRunning, pid })
}

// patience gives a context for publishing: that of the sensor's life, and some time more in which the bus answers.
func (t *tender) patience() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	giveUp := func(cause context.Context) func() bool {
		return context.AfterFunc(cause, func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for left := giveUpAfter; left > 0; {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if t.stay.Err() != nil || t.h.Bus.Conn.IsConnected() {
					left -= time.Second
				}
			}
			cancel(context.Cause(cause))
		})
	}
	stopped, lost := giveUp(t.stay), giveUp(t.alive)
	return ctx, func() { stopped(); lost(); cancel(nil) }
}

// output takes what a sensor writes to its standard output.
type output struct {
	splitter
	publisher *publisher
	t         *tender
	journal   *journal
	lines     int64
	rejected  int64
	masked    int64
}

func (t *tender) newOutput(ctx context.Context, w *want, j *journal) *output {
	o := &output{t: t, journal: j}
	o.publisher = newPublisher(ctx, t.h.Bus.JS, t.h.Rate, t.published, func(err error) {
		t.log.ErrorContext(ctx, "event of sensor not published", slog.Any(logging.Error, err))
		o.journal.note("an event was not published: %v", err)
	})
	o.line = func(line []byte) error {
		o.lines++
		if len(line) == 0 {
			return nil
		}
		n, err := parseLine(line, t.ref, w.spec.Triggers)
		if err != nil {
			o.reject(o.shown(line, err, w.spec.Triggers))
			return nil
		}
		return o.publisher.publish(o.hide(n))
	}
	o.long = func() {
		o.lines++
		o.reject(fmt.Errorf("it is longer than %d bytes", MaxLine))
	}
	return o
}

// errHidden is returned when what is wrong with a line can only be said with the secrets that it holds.
var errHidden = errors.New("what is wrong cannot be shown, because secrets are part of it")

// shown gives what is wrong with a line without the secrets that it holds: it may quote a part of one, which nobody
// would find any more.
func (o *output) shown(line []byte, err error, triggers []string) error {
	text := string(line)
	if !o.journal.hide.Hides(text) {
		return err
	}
	if _, err := parseLine([]byte(o.journal.hide.String(text)), o.t.ref, triggers); err != nil {
		return err
	}
	return errHidden
}

// hide takes the sensor's secrets out of an event's payload, and says so in the log.
func (o *output) hide(n event.New) event.New {
	payload, masked := o.journal.hide.JSON(n.Payload)
	if !masked {
		return n
	}
	n.Payload = payload
	if o.masked++; o.masked <= notedLines || o.masked%notedEvery == 0 {
		o.journal.note("line %d: its payload held a secret of the sensor, which was masked", o.lines)
	}
	return n
}

// published counts an event.
func (t *tender) published() {
	now := time.Now().UTC()
	t.record.count(func(st *streams.SensorState) { st.Events++; st.LastEventAt = &now })
	t.h.metrics.events.WithLabelValues(t.ref.String()).Inc()
}

// A sensor may write nothing but rubbish: after so many lines only some are noted.
const (
	notedLines = 100
	notedEvery = 1000
)

// reject counts a line that is no event, and says in the log why.
func (o *output) reject(why error) {
	o.rejected++
	o.t.record.count(func(st *streams.SensorState) { st.Rejected++ })
	o.t.h.metrics.rejected.WithLabelValues(o.t.ref.String()).Inc()
	if o.rejected <= notedLines || o.rejected%notedEvery == 0 {
		o.journal.note("line %d is no event: %v", o.lines, why)
	}
}

// close hands on the last line and waits until everything is published or given up.
func (o *output) close() {
	_ = o.splitter.close() // fails only when what is left is given up
	o.publisher.close()
}
