package main

import (
	"context"
	"flag"

	"github.com/attune/attune/services/attune/bench/historybench"
)

// historyMode measures history at a size: see package historybench.
func historyMode(f *flag.FlagSet) measure {
	o := historybench.Defaults
	o.Flags(f)
	return func(ctx context.Context, s *session) (err error) {
		o.Scratch = s.dir
		b, err := historybench.Open(ctx, o, s.say)
		if err != nil {
			return err
		}
		defer func() { err = keep(err, b.Close()) }()
		if err := s.each(func(int) error { return b.Round(ctx, s.run) }); err != nil {
			return err
		}
		return b.Drop(ctx, s.run)
	}
}
