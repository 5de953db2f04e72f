package main

import (
	"context"
	"flag"

	"github.com/attune/attune/services/attune/bench/scale"
)

// admissionMode measures ordered admission alone, at a size that real processes do not reach on one machine: see
// package scale.
func admissionMode(defaults scale.Options) func(*flag.FlagSet) measure {
	return func(f *flag.FlagSet) measure {
		o := defaults
		o.Flags(f)
		return func(ctx context.Context, s *session) (err error) {
			b, err := scale.Open(ctx, s.dir, o)
			if err != nil {
				return err
			}
			defer func() { err = keep(err, b.Close()) }()
			if err := s.each(func(int) error { return b.Round(ctx, s.run) }); err != nil {
				return err
			}
			s.say("with others waiting")
			return b.Backlogs(ctx, s.run)
		}
	}
}
