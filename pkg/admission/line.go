package admission

import (
	"slices"
	"sort"
)

// blockSize bounds the cost of an insertion or removal in the middle of a line.
const blockSize = 256

// line holds executions in the order of their sequence, in blocks, so that adding at the end and taking from
// the front are cheap, and so that a place in the middle is found and counted without walking the whole.
type line struct {
	blocks [][]*entry // none is empty
	n      int
}

// first gives the execution that is next, or nil.
func (l *line) first() *entry {
	if l.n == 0 {
		return nil
	}
	return l.blocks[0][0]
}

// add puts e in its place. Executions arrive in order, so that place is nearly always the end.
func (l *line) add(e *entry) {
	l.n++
	b := l.blockOf(e.seq)
	if b == len(l.blocks) {
		l.append(e)
		return
	}
	i := indexIn(l.blocks[b], e.seq)
	l.blocks[b] = slices.Insert(l.blocks[b], i, e)
	if len(l.blocks[b]) > blockSize {
		l.split(b)
	}
}

func (l *line) append(e *entry) {
	last := len(l.blocks) - 1
	if last < 0 || len(l.blocks[last]) >= blockSize {
		l.blocks = append(l.blocks, []*entry{e})
		return
	}
	l.blocks[last] = append(l.blocks[last], e)
}

func (l *line) split(b int) {
	block := l.blocks[b]
	half := len(block) / 2
	l.blocks = slices.Insert(l.blocks, b+1, slices.Clone(block[half:]))
	clear(block[half:])
	l.blocks[b] = block[:half]
}

// remove takes e out, if it stands in the line.
func (l *line) remove(e *entry) {
	b, i, ok := l.find(e)
	if !ok {
		return
	}
	l.n--
	block := l.blocks[b]
	switch {
	case len(block) == 1:
		l.dropBlock(b)
	case i == 0: // the usual case: without moving the rest
		block[0] = nil
		l.blocks[b] = block[1:]
	default:
		l.blocks[b] = slices.Delete(block, i, i+1)
	}
}

func (l *line) dropBlock(b int) {
	if b == 0 {
		l.blocks[0] = nil
		l.blocks = l.blocks[1:]
		return
	}
	l.blocks = slices.Delete(l.blocks, b, b+1)
}

// rank counts those that stand before e.
func (l *line) rank(e *entry) (int, bool) {
	b, i, ok := l.find(e)
	if !ok {
		return 0, false
	}
	for _, block := range l.blocks[:b] {
		i += len(block)
	}
	return i, true
}

// all gives those in line, in order, in a slice of its own.
func (l *line) all() []*entry { return slices.Concat(l.blocks...) }

// count gives how many stand before the first that is not before some place; before must be true up to there
// and false from there on.
func (l *line) count(before func(*entry) bool) int {
	n := 0
	for _, block := range l.blocks {
		if !before(block[len(block)-1]) {
			return n + sort.Search(len(block), func(i int) bool { return !before(block[i]) })
		}
		n += len(block)
	}
	return n
}

// blockOf gives the first block whose last sequence is not below seq: the one that seq belongs to.
func (l *line) blockOf(seq uint64) int {
	last := len(l.blocks) - 1
	if last < 0 || seq > tail(l.blocks[last]) {
		return last + 1
	}
	return sort.Search(last, func(i int) bool { return seq <= tail(l.blocks[i]) })
}

func (l *line) find(e *entry) (block, index int, ok bool) {
	b := l.blockOf(e.seq)
	if b == len(l.blocks) {
		return 0, 0, false
	}
	i := indexIn(l.blocks[b], e.seq)
	return b, i, i < len(l.blocks[b]) && l.blocks[b][i] == e
}

func tail(block []*entry) uint64 { return block[len(block)-1].seq }

func indexIn(block []*entry, seq uint64) int {
	if block[0].seq >= seq {
		return 0
	}
	return sort.Search(len(block), func(i int) bool { return block[i].seq >= seq })
}
