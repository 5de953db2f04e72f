package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// bareOutcome is what a loop without Attune gave.
type bareOutcome struct {
	rate float64
	cost time.Duration // processor time of all of them
}

// forkExec starts the program n times and waits for each, as many at once as there are processors.
func forkExec(ctx context.Context, program string, n int) (bareOutcome, error) {
	before, began := ownUsage(), time.Now()
	g, ctx := errgroup.WithContext(ctx)
	var started atomic.Int64
	for range runtime.NumCPU() {
		g.Go(func() error {
			for started.Add(1) <= int64(n) && ctx.Err() == nil {
				if err := exec.Command(program).Run(); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return bareOutcome{}, fmt.Errorf("bare loop: %w", err)
	}
	return bareOutcome{rate: float64(n) / time.Since(began).Seconds(), cost: ownUsage() - before}, nil
}
