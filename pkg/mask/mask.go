package mask

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// Masker knows the values that must not be seen. It may be used from many goroutines at once.
type Masker struct {
	auto atomic.Pointer[automaton] // nil: there is nothing to mask

	mu       sync.Mutex // guards the fields below
	patterns *patterns
}

// New makes a masker of values. Those shorter than MinValue are passed over.
func New(values ...string) *Masker {
	m := &Masker{}
	m.Add(values...)
	return m
}

// Masks tells whether a value is long enough to be masked.
func Masks(value string) bool { return len(strings.TrimSpace(value)) >= MinValue }

// Add masks further values from now on: what writers hold back by then included. It tells whether each of them is
// long enough.
func (m *Masker) Add(values ...string) bool {
	all := true
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.patterns == nil {
		m.patterns = &patterns{known: map[string]struct{}{}}
	}
	before := len(m.patterns.list)
	for _, v := range values {
		all = m.patterns.addPlain(v) && all
	}
	for _, v := range values {
		m.patterns.addEncoded(v)
	}
	if len(m.patterns.list) > before {
		m.auto.Store(build(m.patterns.list))
	}
	return all
}

// Writer masks what is written to it and passes the rest on to an output. Close passes on what was held back, and
// does not close the output. It belongs to one goroutine.
func (m *Masker) Writer(to io.Writer) io.WriteCloser { return &writer{masker: m, to: to} }

// String masks a text.
func (m *Masker) String(s string) string {
	if !m.Hides(s) {
		return s
	}
	var b strings.Builder
	w := writer{masker: m, to: &b}
	_, _ = w.Write([]byte(s)) // a builder takes everything
	_ = w.Close()             // likewise
	return b.String()
}

// Hides tells whether String would change a text.
func (m *Masker) Hides(s string) bool {
	if m == nil {
		return false
	}
	a := m.auto.Load()
	return a != nil && a.in([]byte(s))
}

// in tells whether there is something to mask in a whole text.
func (a *automaton) in(p []byte) bool {
	state := uint32(0)
	for i := 0; i < len(p); i++ {
		if state == 0 {
			i = a.scan(p, i)
		}
		state = a.step(state, p[i])
		if a.nodes[state].found > 0 {
			return true
		}
	}
	return a.nodes[state].depth >= minCut
}
