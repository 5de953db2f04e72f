package logs_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

type outcome struct {
	data []byte
	err  error
}

// follow reads a log to its end in the background.
func follow(t testing.TB, s *logs.Store, r logs.Request) <-chan outcome {
	t.Helper()
	r.Follow = true
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		for c, err := range s.Read(t.Context(), r) {
			o.data, o.err = append(o.data, c.Text()...), err
		}
		done <- o
	}()
	return done
}

func await(t testing.TB, done <-chan outcome) []byte {
	t.Helper()
	select {
	case o := <-done:
		if o.err != nil {
			t.Fatal(o.err)
		}
		return o.data
	case <-time.After(20 * time.Second):
		t.Fatal("the log does not end")
		return nil
	}
}

func TestFollowersSeeTheSameAcrossTheBorderOfLiveAndStored(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	end := startExecution(t, b)
	raw := noise(900_000)
	var readers []<-chan outcome
	offsets := []int64{0, 1, 65_536, 300_000, 899_999, 900_000, 1e18}
	begin := func() {
		for _, o := range offsets {
			readers = append(readers, follow(t, s, stdout(o)))
		}
	}
	w := newWriter(t, s, logs.Limits{SegmentBytes: 2 * logs.MinSegmentBytes})
	begin() // before anything is written
	for i := 0; i < len(raw); i += 30_000 {
		write(t, w.Stdout(), raw[i:i+30_000])
		if i == 450_000 {
			begin() // with segments stored and more to come
		}
	}
	closeWriter(t, w)
	end(streams.Succeeded, &streams.Output{StdoutBytes: int64(len(raw))})
	begin() // when all is stored
	for i, done := range readers {
		at := min(offsets[i%len(offsets)], int64(len(raw)))
		equal(t, await(t, done), raw[at:])
	}
}

func TestFollowDeliversWithinATenthOfASecond(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	startExecution(t, b)
	w := newWriter(t, s, logs.Limits{})
	arrived := make(chan time.Time)
	go func() {
		r := stdout(0)
		r.Follow = true
		for range s.Read(t.Context(), r) {
			arrived <- time.Now()
		}
		close(arrived)
	}()
	took := make([]time.Duration, 20)
	for i := range took {
		wrote := time.Now()
		write(t, w.Stdout(), fmt.Appendf(nil, "line %d\n", i))
		took[i] = (<-arrived).Sub(wrote)
	}
	slices.Sort(took)
	closeWriter(t, w)
	if _, more := <-arrived; more {
		t.Error("something came after the end")
	}
	if median := took[len(took)/2]; median > 100*time.Millisecond { // the slowest say how busy the machine is
		t.Errorf("deliveries took %v", took)
	}
}

func TestFollowingAnExecutionWithoutOutputEndsWithIt(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	end := startExecution(t, b)
	done := follow(t, s, stdout(0))
	closeWriter(t, newWriter(t, s, logs.Limits{}))
	end(streams.Succeeded, &streams.Output{})
	equal(t, await(t, done), nil)
}

func TestFollowingALostExecutionGivesWhatWasPublished(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	end := startExecution(t, b)
	publish(t, b, 0, "begun\n", false)
	done := follow(t, s, stdout(0))
	end(streams.Lost, nil)
	equal(t, await(t, done), []byte("begun\n"))
}

func TestFollowingWhatNeverWasEnds(t *testing.T) {
	t.Parallel()
	equal(t, await(t, follow(t, open(t, natstest.New(t)), stdout(0))), nil)
}

// publish stands in for a writer that is gone, or repeats itself.
func publish(t testing.TB, b *bus.Bus, offset int, data string, last bool) {
	t.Helper()
	subject, err := streams.LogSubject(id, logs.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Data = []byte(data)
	m.Header.Set(streams.HeaderOffset, strconv.Itoa(offset))
	m.Header.Set(streams.HeaderTime, time.Now().UTC().Format(time.RFC3339Nano))
	if last {
		m.Header.Set(streams.HeaderEnd, "true")
	}
	if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestRepeatedChunksAreGivenOnce(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	startExecution(t, b)
	done := follow(t, s, stdout(0))
	publish(t, b, 0, "abc", false)
	publish(t, b, 0, "abc", false)
	publish(t, b, 3, "def", false)
	publish(t, b, 3, "def", false)
	publish(t, b, 6, "g", true)
	publish(t, b, 6, "g", true)
	equal(t, await(t, done), []byte("abcdefg"))
	equal(t, read(t, s, stdout(0)), []byte("abcdefg"))
	equal(t, read(t, s, stdout(4)), []byte("efg"))
}

func TestAFollowerThatRestsMissesNothing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	startExecution(t, b)
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), []byte("begin "))
	var got []byte
	raw := noise(4 << 20) // many times what a follower keeps
	r := stdout(0)
	r.Follow = true
	for c, err := range s.Read(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			write(t, w.Stdout(), raw)
			closeWriter(t, w)
		}
		got = append(got, c.Data...)
	}
	equal(t, got, append([]byte("begin "), raw...))
}

func TestLiveOutputThatTheBusDroppedIsReadFromSegments(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(4*logs.MinSegmentBytes + 10)
	write(t, w.Stdout(), raw)
	awaitLive(t, s, int64(len(raw)))
	awaitSegments(t, s, 4)
	live, err := b.JS.Stream(t.Context(), streams.Logs)
	if err != nil {
		t.Fatal(err)
	}
	if err := live.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, s, stdout(0)), raw)
	closeWriter(t, w)
}

// awaitSegments returns when so many objects are stored.
func awaitSegments(t testing.TB, s *logs.Store, n int) {
	t.Helper()
	store, err := s.Bus.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := store.Watch(t.Context(), jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = changes.Stop() }()
	for c := range changes.Updates() {
		if c == nil { // the mark between what was there and what is new
			continue
		}
		if n--; n == 0 {
			return
		}
	}
}

func TestWhatIsGoneIsSaidToBeMissing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	startExecution(t, b)
	publish(t, b, 0, "abc", false)
	publish(t, b, 10, "klm", true)
	want := []byte("abc[attune: bytes 3 to 9 are missing]\nklm")
	equal(t, read(t, s, stdout(0)), want)
	equal(t, await(t, follow(t, s, stdout(0))), want)
}

func TestADamagedSegmentIsPassedOver(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(3 * logs.MinSegmentBytes)
	write(t, w.Stdout(), raw)
	closeWriter(t, w)
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	mark := []byte("[attune: bytes 65536 to 131071 are missing]\n")
	want := bytes.Join([][]byte{raw[:65536], mark, raw[131072:]}, nil)
	name := id + "/stdout.0001.zst"
	packed, err := store.GetBytes(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{packed[:len(packed)/2], append([]byte("junk"), packed[4:]...), {}} {
		if err := b.PutObject(t.Context(), streams.ObjectsLogs, jetstream.ObjectMeta{Name: name}, damaged); err != nil {
			t.Fatal(err)
		}
		equal(t, read(t, s, stdout(0)), want)
	}
	if err := store.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, s, stdout(0)), want)
}

// A log that is not an execution's ends when its reader says that what writes it has ended.
func TestALogOfItsOwnIsFollowedUntilItEnds(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	var ended atomic.Bool
	asked := make(chan struct{}, 100)
	done := follow(t, s, logs.Request{Execution: id, Stream: logs.Stderr, Ended: func(context.Context) (bool, error) {
		asked <- struct{}{}
		return ended.Load(), nil
	}})
	<-asked
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stderr(), []byte("one\n"))
	<-asked
	write(t, w.Stderr(), []byte("two\n"))
	closeWriter(t, w)
	ended.Store(true)
	if got := await(t, done); string(got) != "one\ntwo\n" {
		t.Errorf("followed %q", got)
	}
}
