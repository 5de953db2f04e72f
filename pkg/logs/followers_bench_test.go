package logs_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

const followers = 100

// followed starts many followers of one log. Each says when it has received something.
func followed(b *testing.B) (w *logs.Writer, received *sync.WaitGroup) {
	b.Helper()
	broker := natstest.New(b)
	s := open(b, broker)
	startExecution(b, broker)
	w = newWriter(b, s, logs.Limits{StreamBytes: 1 << 40})
	received = new(sync.WaitGroup)
	received.Add(followers)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		running.Wait()
		if _, err := w.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	for range followers {
		running.Go(func() {
			r := stdout(0)
			r.Follow = true
			for _, err := range s.Read(ctx, r) {
				if err != nil {
					return
				}
				received.Done()
			}
		})
	}
	write(b, w.Stdout(), []byte("begin\n"))
	received.Wait()
	return w, received
}

// From a write to the last of a hundred followers, and what that takes of the processor, the server included.
func BenchmarkHundredFollowers(b *testing.B) {
	w, received := followed(b)
	before := processorTime(b)
	for b.Loop() {
		received.Add(followers)
		write(b, w.Stdout(), []byte("hello\n"))
		received.Wait()
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// What a hundred followers of a log that says nothing take of the processor, the server included.
func BenchmarkHundredFollowersIdle(b *testing.B) {
	followed(b)
	before, began := processorTime(b), time.Now()
	for b.Loop() {
		<-time.After(time.Second)
	}
	b.ReportMetric(100*(processorTime(b)-before).Seconds()/time.Since(began).Seconds(), "%cpu")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
