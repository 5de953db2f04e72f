package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// restBetween is the pause between events of the latency measurement: the system is idle when each comes.
const restBetween = 30 * time.Millisecond

// markPatience bounds the wait for one action to say that it runs.
const markPatience = 10 * time.Second

// marks is a named pipe on which actions say that they run.
type marks struct {
	path string
	pipe *os.File
	at   chan time.Time
}

func newMarks(path string) (*marks, error) {
	err := syscall.Mkfifo(path, 0o622)
	if err == nil {
		err = os.Chmod(path, 0o622) // actions may be other users
	}
	if err != nil {
		return nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // read and write, so that it never ends
	if err != nil {
		return nil, err
	}
	m := &marks{path: path, pipe: pipe, at: make(chan time.Time, 16)}
	go m.read()
	return m, nil
}

func (m *marks) read() {
	defer close(m.at)
	buf := make([]byte, 64)
	for {
		n, err := m.pipe.Read(buf)
		if err != nil {
			return // closed
		}
		now := time.Now()
		for range n / 2 { // each mark is a character and a newline
			m.at <- now
		}
	}
}

func (m *marks) close() { _ = m.pipe.Close() } // nothing was written that could be lost

// latencyMode measures single events.
func latencyMode(f *flag.FlagSet) measure {
	samples := f.Int("samples", 200, "events in each round")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		return s.each(func(int) error {
			took, err := in.latency(ctx, *samples)
			if err != nil {
				return err
			}
			s.run.Add(figure.Figure{Name: "event over NATS to first instruction, p50", Unit: "ms"}, figure.Quantile(took, 0.50))
			s.run.Add(figure.Figure{Name: "event over NATS to first instruction, p99", Unit: "ms"}, figure.Quantile(took, 0.99))
			return nil
		})
	}
}

// latency publishes events one by one and gives the time until the action of each ran.
func (in *instance) latency(ctx context.Context, samples int) ([]time.Duration, error) {
	subject, err := streams.EventSubject(packName, "mark")
	if err != nil {
		return nil, err
	}
	out := make([]time.Duration, 0, samples)
	for i := range samples {
		began := time.Now()
		if err := in.bus.Conn.Publish(subject, fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			return nil, err
		}
		if err := in.bus.Conn.Flush(); err != nil {
			return nil, err
		}
		select {
		case at := <-in.marks.at:
			out = append(out, at.Sub(began))
		case <-time.After(markPatience):
			return nil, errors.New("an action did not say that it runs")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		time.Sleep(restBetween) //nolint:forbidigo // the pause is what is measured: a low rate
	}
	return out, nil
}
