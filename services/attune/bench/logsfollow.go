package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/bench/figure"
)

// followed measures followers of one log: one of them, then many.
func (s *outputSite) followed(ctx context.Context, r *outputRound) error {
	one, err := s.follow(ctx, 1)
	if err != nil {
		return err
	}
	many, err := s.follow(ctx, s.options.followers)
	r.OneP50, r.OneP99, r.OneCPU = one.p50, one.p99, one.cpu
	r.ManyP50, r.ManyP99, r.ManyCPU = many.p50, many.p99, many.cpu
	return err
}

// delivery says how soon lines arrived, in milliseconds, and the share of a processor that the services took.
type delivery struct{ p50, p99, cpu float64 }

func (s *outputSite) follow(ctx context.Context, n int) (delivery, error) {
	start := filepath.Join(s.shared, "go")
	accepted, err := s.api.Run(ctx, api.ExecutionRequest{Action: outputPack + ".ticks"}, uuid.NewString())
	if err != nil {
		return delivery{}, err
	}
	var g errgroup.Group
	var ready sync.WaitGroup
	ready.Add(n)
	all := make([]*follower, n)
	for i := range all {
		all[i] = &follower{ready: ready.Done}
		g.Go(func() error {
			_, err := s.api.Logs(ctx, client.Log{Execution: accepted.ID, Stream: "stdout", Follow: true}, all[i])
			all[i].once.Do(ready.Done)
			return err
		})
	}
	ready.Wait()
	before := s.usage()
	began := time.Now()
	if err := os.WriteFile(start, nil, 0o644); err != nil {
		return delivery{}, err
	}
	if err := g.Wait(); err != nil {
		return delivery{}, err
	}
	took := time.Since(began).Seconds()
	used := s.usage().minus(before).services.Seconds()
	if err := os.Remove(start); err != nil {
		return delivery{}, err
	}
	return summed(all, s.options.lines, 100*used/took)
}

func summed(all []*follower, lines int, cpu float64) (delivery, error) {
	var delays []time.Duration
	for _, f := range all {
		if len(f.delays) != lines {
			return delivery{}, fmt.Errorf("a follower saw %d lines of %d", len(f.delays), lines)
		}
		delays = append(delays, f.delays...)
	}
	return delivery{p50: figure.Quantile(delays, 0.50), p99: figure.Quantile(delays, 0.99), cpu: cpu}, nil
}

// follower reads lines that hold the time at which they were written.
type follower struct {
	ready  func() // called at the first line, which holds none
	once   sync.Once
	rest   []byte
	delays []time.Duration
}

func (f *follower) Write(p []byte) (int, error) {
	now := time.Now()
	f.rest = append(f.rest, p...)
	for {
		line, rest, found := bytes.Cut(f.rest, []byte{'\n'})
		if !found {
			return len(p), nil
		}
		if at, err := strconv.ParseInt(string(line), 10, 64); err == nil {
			f.delays = append(f.delays, now.Sub(time.Unix(0, at)))
		} else {
			f.once.Do(f.ready)
		}
		f.rest = rest
	}
}
