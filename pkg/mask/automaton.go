package mask

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// node is a state of the automaton of Aho and Corasick: the longest end of the input that is a beginning of a pattern.
// Most states have one successor, and it is the next in the list.
type node struct {
	fail  uint32 // the state of the longest shorter beginning of a pattern that the input ends with
	depth uint32 // the length of what it stands for, in bytes
	found uint32 // the length of the longest pattern that the input ends with; 0: none
	next  byte   // what leads to the node behind it in the list, if linear
	kind  byte
}

const (
	linear   = 1 << iota // has the next node as successor
	branched             // has successors in edges
)

// automaton finds patterns. It does not change once it is built.
type automaton struct {
	nodes []node
	root  [256]uint32
	edges edges
	// start has a bit for the hash of the first four bytes of every pattern, so that most of the input is passed over
	// without a look at any node.
	start [1 << 10]uint64
}

// window is how many bytes of a pattern the filter looks at; no pattern is shorter.
const window = MinValue

func hash(b []byte) uint32 { return binary.LittleEndian.Uint32(b) * 2654435761 >> 16 }

// chain is nodes in a row that one pattern has added, the first of which is a successor of parent.
type chain struct {
	first, parent uint32
	depth, length uint32 // depth is that of the first
	by            byte   // what leads from parent to the first
}

// build makes the automaton of patterns, each of which has at least window bytes.
func build(patterns []string) *automaton {
	size := 1
	for _, p := range patterns {
		size += len(p)
	}
	a := &automaton{nodes: make([]node, 1, size), edges: newEdges(len(patterns))}
	chains := make([]chain, 0, len(patterns))
	for _, p := range patterns {
		if c := a.insert(p); c.length > 0 {
			chains = append(chains, c)
		}
		h := hash([]byte(p[:window]))
		a.start[h>>6] |= 1 << (h & 63)
	}
	a.link(chains)
	return a
}

// insert adds a pattern, and tells which nodes were added for it.
func (a *automaton) insert(p string) chain {
	at, i := uint32(0), 0
	for ; i < len(p); i++ {
		to := a.child(at, p[i])
		if to == 0 {
			break
		}
		at = to
	}
	c := chain{parent: at, length: uint32(len(p) - i), depth: uint32(i + 1)} //nolint:gosec // bounded by the largest value
	if i < len(p) {
		c.by, c.first = p[i], uint32(len(a.nodes)) //nolint:gosec // likewise
		a.attach(at, p[i], c.first)
		for j := i; j < len(p); j++ {
			n := node{depth: uint32(j + 1)} //nolint:gosec // likewise
			if j+1 < len(p) {
				n.next, n.kind = p[j+1], linear
			}
			a.nodes = append(a.nodes, n)
		}
		at = uint32(len(a.nodes) - 1) //nolint:gosec // likewise
	}
	a.nodes[at].found = a.nodes[at].depth
	return c
}

func (a *automaton) attach(at uint32, by byte, to uint32) {
	if at == 0 {
		a.root[by] = to
		return
	}
	a.nodes[at].kind |= branched
	a.edges.put(at, by, to)
}

// link finds where to go on from each node when the input does not, by depth.
func (a *automaton) link(chains []chain) {
	slices.SortFunc(chains, func(x, y chain) int { return cmp.Compare(x.depth, y.depth) })
	var open []chain
	for depth := uint32(1); len(open) > 0 || len(chains) > 0; depth++ {
		for len(chains) > 0 && chains[0].depth == depth {
			open, chains = append(open, chains[0]), chains[1:]
		}
		kept := open[:0]
		for _, c := range open {
			a.linkOne(c, depth)
			if depth+1 < c.depth+c.length {
				kept = append(kept, c)
			}
		}
		open = kept
	}
}

func (a *automaton) linkOne(c chain, depth uint32) {
	at := c.first + depth - c.depth
	parent, by := c.parent, c.by
	if at > c.first {
		parent = at - 1
		by = a.nodes[parent].next
	}
	n := &a.nodes[at]
	if depth > 1 {
		n.fail = a.step(a.nodes[parent].fail, by)
	}
	n.found = max(n.found, a.nodes[n.fail].found)
}

// child gives the successor of a node, and 0 when there is none.
func (a *automaton) child(at uint32, by byte) uint32 {
	if at == 0 {
		return a.root[by]
	}
	n := &a.nodes[at]
	if n.kind&linear != 0 && n.next == by {
		return at + 1
	}
	if n.kind&branched != 0 {
		return a.edges.get(at, by)
	}
	return 0
}

// step gives the state after another byte.
func (a *automaton) step(at uint32, by byte) uint32 {
	for at != 0 {
		if to := a.child(at, by); to != 0 {
			return to
		}
		at = a.nodes[at].fail
	}
	return a.root[by]
}

// scan gives the first place from i on at which a pattern may begin: with fewer than window bytes behind it, any.
func (a *automaton) scan(p []byte, i int) int {
	for ; i+8 <= len(p); i += 5 {
		v := binary.LittleEndian.Uint64(p[i:])
		for k := range 5 {
			h := uint32(v>>(8*k)) * 2654435761 >> 16 //nolint:gosec // four bytes of it
			if a.start[h>>6]&(1<<(h&63)) != 0 {
				return i + k
			}
		}
	}
	for ; i+window <= len(p); i++ {
		h := hash(p[i:])
		if a.start[h>>6]&(1<<(h&63)) != 0 {
			break
		}
	}
	return i
}

// edges are the successors of nodes that have several: a table with open addressing, since there are few.
type edges struct {
	slots []edge
}

type edge struct {
	from, to uint32 // to is never 0
	by       byte
}

func newEdges(expected int) edges {
	size := 64
	for size < 2*expected {
		size *= 2
	}
	return edges{slots: make([]edge, size)}
}

func (e *edges) slot(from uint32, by byte) int {
	mask := len(e.slots) - 1
	i := int((from<<8|uint32(by))*2654435761>>7) & mask
	for e.slots[i].to != 0 && (e.slots[i].from != from || e.slots[i].by != by) {
		i = (i + 1) & mask
	}
	return i
}

func (e *edges) get(from uint32, by byte) uint32 { return e.slots[e.slot(from, by)].to }

// put adds an edge. There is at most one for each pattern, so that the table is never full.
func (e *edges) put(from uint32, by byte, to uint32) {
	e.slots[e.slot(from, by)] = edge{from: from, to: to, by: by}
}
