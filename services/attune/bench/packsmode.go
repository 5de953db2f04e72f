package main

import (
	"context"
	"flag"

	"github.com/attune/attune/services/attune/bench/packs"
)

// packsMode measures what installing packs takes: see package packs.
func packsMode(f *flag.FlagSet) measure {
	var o packs.Options
	f.IntVar(&o.Runs, "runs", 30, "runs of a program in each round")
	f.StringVar(&o.Python, "python", "", "interpreter; the first python3 of PATH when empty")
	return func(ctx context.Context, s *session) error {
		o.Dir = s.dir
		b, err := packs.Open(ctx, o)
		if err != nil {
			return err
		}
		defer b.Close()
		return s.each(func(round int) error { return b.Round(ctx, round, s.run) })
	}
}
