package secret

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// ring is what keys this process has.
type ring struct {
	sources []Source // the one that new keys come from first

	mu   sync.RWMutex // guards keys
	keys []Wrapper    // the newest first
}

// load reads all sources. When one cannot be read, the keys stay as they are: another is never put in its place.
func (r *ring) load(ctx context.Context) error {
	var all []Wrapper
	seen := map[string]bool{}
	for _, s := range r.sources {
		keys, err := s.Load(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if !seen[k.ID()] {
				seen[k.ID()] = true
				all = append(all, k)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = all
	return nil
}

func (r *ring) all() []Wrapper {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys
}

func (r *ring) ids() []string {
	all := r.all()
	ids := make([]string, len(all))
	for i, k := range all {
		ids[i] = k.ID()
	}
	return ids
}

// find gives a key by its id. It reads the sources again when it does not know the key: it may have been added.
func (r *ring) find(ctx context.Context, id string) (Wrapper, error) {
	if k := r.known(id); k != nil {
		return k, nil
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if k := r.known(id); k != nil {
		return k, nil
	}
	if len(r.all()) == 0 {
		return nil, fmt.Errorf("%w: bring back key %s into %s", ErrKeyMissing, id, r)
	}
	return nil, fmt.Errorf("%w: %s has %s; bring back key %s", ErrKeyWrong, r, strings.Join(r.ids(), ", "), id)
}

func (r *ring) known(id string) Wrapper {
	for _, k := range r.all() {
		if k.ID() == id {
			return k
		}
	}
	return nil
}

// newest gives the newest key of the first source, or makes one there if that can be done. It never takes a key of
// another source for it.
func (r *ring) newest(ctx context.Context, other string) (Wrapper, error) {
	for made := false; ; made = true {
		keys, err := r.sources[0].Load(ctx)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 && keys[0].ID() != other {
			return keys[0], r.load(ctx)
		}
		m, ok := r.sources[0].(maker)
		if !ok || made {
			return nil, fmt.Errorf("%w in %s: %s", ErrNoNewKey, r.sources[0], hint(r.sources[0]))
		}
		if err := m.Make(); err != nil {
			return nil, err
		}
	}
}

// hint says how a new key comes into a source that makes none by itself.
func hint(s Source) string {
	if h, ok := s.(interface{ hint() string }); ok {
		return h.hint()
	}
	return "add one in front of the others"
}

// String names the sources.
func (r *ring) String() string {
	names := make([]string, len(r.sources))
	for i, s := range r.sources {
		names[i] = s.String()
	}
	return strings.Join(names, " or ")
}
