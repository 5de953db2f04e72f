package environment

import (
	"context"
	"fmt"

	"github.com/attune/attune/streams"
)

// judge tells whether an environment still fits the machine, and what it lacks. An interpreter that was replaced by
// one of the same minor version still serves. Where no file has changed, and nothing was missing, the machine need
// not be asked.
func (s *Store) judge(ctx context.Context, m *marker) ([]streams.Missing, error) {
	all := len(m.Runtimes) == len(m.Wants)
	for _, i := range m.Runtimes {
		all = all && i.same()
	}
	if all {
		return nil, nil
	}
	have, err := s.Runtimes(ctx)
	if err != nil {
		return nil, err
	}
	c, err := choose(have, m.Wants)
	if err != nil {
		return nil, err
	}
	if len(c.missing)+len(m.Runtimes) != len(m.Wants) {
		return nil, fmt.Errorf("%w: the machine has other runtimes now", ErrNotBuilt)
	}
	return c.missing, s.renew(have, m)
}

// renew notes interpreters that were replaced by others that serve as well.
func (s *Store) renew(have Runtimes, m *marker) error {
	changed := false
	for n, i := range m.Runtimes {
		if i.same() {
			continue
		}
		if !i.served(have) {
			return fmt.Errorf("%w: %s %s (%s) has gone or changed", ErrNotBuilt, i.Name, i.Version, i.Path)
		}
		m.Runtimes[n].File = identify(i.Path)
		changed = true
	}
	if !changed {
		return nil
	}
	return writeMarker(s.digestDir(m.Digest), *m)
}
