package sensor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// A sensor may run for months, and its log is one of many: it goes on in another when it is this large or old.
const (
	journalBytes = 8 << 20
	journalAge   = 12 * time.Hour
	keptJournals = 5 // those before the current one
	closeWithin  = 5 * time.Second
)

// maxShown bounds what of a sensor's last line stands in its state.
const maxShown = 300

// journal is the log of one start of a sensor: what it writes to its standard error output, and notes of the host.
type journal struct {
	store  *logs.Store
	log    *slog.Logger
	sensor pack.Ref
	record *record
	hide   *mask.Masker // of the sensor's secrets, as soon as they are known

	mu     sync.Mutex // guards the fields below
	id     string
	w      *logs.Writer
	bytes  int64
	since  time.Time
	last   []byte // the end of what was written, for the last line of it
	ending sync.WaitGroup
}

func newJournal(store *logs.Store, log *slog.Logger, sensor pack.Ref, r *record) (*journal, error) {
	j := &journal{store: store, log: log, sensor: sensor, record: r}
	return j, j.open()
}

// open begins a log and puts it into the sensor's state. Its caller holds mu, or is the only one.
func (j *journal) open() (err error) {
	j.since, j.bytes = time.Now(), 0
	j.id = "sensor-" + j.sensor.Pack + "-" + j.sensor.Name + "-" + strconv.FormatInt(j.since.UnixMicro(), 36)
	if j.w, err = j.store.NewWriter(j.id, logs.Source{Header: streams.HeaderSensor, Name: j.sensor.String()}, logs.Limits{StreamBytes: 2 * journalBytes}); err != nil {
		return err
	}
	j.record.set(func(st *streams.SensorState) {
		if st.Log != "" {
			st.Logs = append([]string{st.Log}, st.Logs...)
		}
		st.Log = j.id
	})
	return nil
}

// Write takes standard error output. It never fails.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	if j.bytes > journalBytes || j.bytes > 0 && time.Since(j.since) > journalAge {
		j.rotate()
	}
	j.bytes += int64(len(p))
	j.last = append(j.last, p[max(0, len(p)-2*maxShown):]...)
	j.last = j.last[max(0, len(j.last)-2*maxShown):]
	w := j.w
	j.mu.Unlock()
	_, _ = w.Stderr().Write(p) // what cannot be kept is counted by the log
	return len(p), nil
}

// rotate goes on in another log. Its caller holds mu.
func (j *journal) rotate() {
	old := j.w
	if err := j.open(); err != nil {
		j.w = old
		return
	}
	j.ending.Go(func() { j.shut(context.Background(), old) })
}

// note adds a line of the host's own.
func (j *journal) note(format string, args ...any) {
	line := []byte(j.hide.String(fmt.Sprintf("[attune: "+format+"]\n", args...)))
	j.mu.Lock()
	w := j.w
	j.bytes += int64(len(line))
	j.mu.Unlock()
	_, _ = w.Stderr().Write(line) // likewise
}

// lastLine gives the last line that has text, shortened.
func (j *journal) lastLine() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range slices.Backward(bytes.Split(j.last, []byte{'\n'})) {
		if text := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); text != "" {
			return text[max(0, len(text)-maxShown):]
		}
	}
	return ""
}

// close stores what is left.
func (j *journal) close(ctx context.Context) {
	j.mu.Lock()
	w := j.w
	j.mu.Unlock()
	j.shut(ctx, w)
	j.ending.Wait()
}

func (j *journal) shut(ctx context.Context, w *logs.Writer) {
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	if _, err := w.Close(ctx); err != nil {
		j.log.WarnContext(ctx, "log of sensor not stored", slog.Any(logging.Error, err))
	}
}

// prune removes the logs that are not kept any more.
func (t *tender) prune(ctx context.Context) {
	for all := t.record.now().Logs; len(all) > keptJournals; all = all[:len(all)-1] {
		oldest := all[len(all)-1]
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		err := t.h.logs.Remove(ctx, oldest)
		cancel()
		if err != nil {
			t.log.WarnContext(ctx, "old log of sensor not removed", slog.String("log", oldest), slog.Any(logging.Error, err))
			return
		}
		t.record.set(func(st *streams.SensorState) { st.Logs = all[:len(all)-1] })
	}
}
