package mask

// Forms lists what m looks for.
func (m *Masker) Forms() []string { return m.patterns.list }

// Bytes is the memory that the automaton takes.
func (m *Masker) Bytes() int {
	a := m.auto.Load()
	return 16*cap(a.nodes) + 12*cap(a.edges.slots) + 4*len(a.root) + 8*len(a.start)
}

// Patterns makes a masker that looks for these and nothing else.
func Patterns(list ...string) *Masker {
	m := &Masker{}
	m.auto.Store(build(list))
	m.patterns = &patterns{list: list, known: map[string]struct{}{}}
	return m
}

// MinCut is minCut.
const MinCut = minCut
