package mask

import "io"

// minCut is how many bytes of a form must stand at the very end of the input to be taken for one that was cut there.
const minCut = 12

// span is a part of the input, by offsets into all of it, that is masked.
type span struct{ from, to int }

// writer is the automaton at work on one stream.
type writer struct {
	masker *Masker
	to     io.Writer
	auto   *automaton
	state  uint32
	taken  int    // how many bytes came in
	held   []byte // the last of them, which are not passed on yet; a part of room
	room   []byte
	spans  []span // what of those, and of what is being taken, is masked; in order, apart from each other
	within bool   // the last byte that was passed on was masked
	out    []byte
}

// Write takes output. Its error is that of the output behind it.
func (w *writer) Write(p []byte) (int, error) {
	if a := w.masker.auto.Load(); a != w.auto {
		w.change(a)
	}
	if w.auto == nil || len(p) == 0 {
		return w.to.Write(p)
	}
	w.out = w.out[:0]
	w.search(p)
	done, end := w.taken-len(w.held), w.taken+len(p)
	upto := max(done, end-int(w.auto.nodes[w.state].depth))
	if len(w.held) == 0 && len(w.spans) == 0 && !w.within {
		w.keep(p[upto-done:])
		w.taken = end
		return w.pass(p[:upto-done], len(p))
	}
	w.emit(p, upto)
	w.taken = end
	return w.pass(w.out, len(p))
}

// pass writes what is safe to show.
func (w *writer) pass(out []byte, taken int) (int, error) {
	if len(out) == 0 {
		return taken, nil
	}
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return taken, nil
}

// search takes p through the automaton and notes what is masked. While a beginning is shorter than what the filter
// looks at, the filter tells where to go on.
func (w *writer) search(p []byte) {
	a, state, fresh := w.auto, w.state, 0 // fresh is the first place at which no pattern was looked for
	for i := 0; i < len(p); {
		if begun := i - int(a.nodes[state].depth); begun >= fresh && i-begun < window {
			at := a.scan(p, begun)
			if fresh = at + 1; at > begun {
				state, i = 0, at
			}
		}
		state = a.step(state, p[i])
		i++
		if n := int(a.nodes[state].found); n > 0 {
			w.mark(span{w.taken + i - n, w.taken + i})
		}
	}
	w.state = state
}

// mark notes what is masked. Nothing that was noted ends behind it.
func (w *writer) mark(s span) {
	for n := len(w.spans); n > 0 && w.spans[n-1].to >= s.from; n-- {
		s.from = min(s.from, w.spans[n-1].from)
		w.spans = w.spans[:n-1]
	}
	w.spans = append(w.spans, s)
}

// emit moves what is decided of the held bytes and of p behind them to out, and holds the rest: the part from upto on,
// but for what of it is masked already.
func (w *writer) emit(p []byte, upto int) {
	done := w.taken - len(w.held)
	used := 0
	for _, s := range w.spans {
		if s.from > upto {
			break
		}
		w.plain(p, done, s.from)
		w.masked()
		done = max(done, s.to)
		used++
		if s.to > upto {
			break
		}
	}
	w.spans = append(w.spans[:0], w.spans[used:]...)
	w.plain(p, done, upto)
	w.rest(p, max(done, upto))
}

// plain moves what is not masked.
func (w *writer) plain(p []byte, from, to int) {
	if from >= to {
		return
	}
	w.within = false
	start := w.taken - len(w.held)
	if from < w.taken {
		w.out = append(w.out, w.held[from-start:min(to, w.taken)-start]...)
	}
	if to > w.taken {
		w.out = append(w.out, p[max(from, w.taken)-w.taken:to-w.taken]...)
	}
}

func (w *writer) masked() {
	if !w.within {
		w.out = append(w.out, Replacement...)
	}
	w.within = true
}

// rest holds what is not decided: everything from an offset on.
func (w *writer) rest(p []byte, from int) {
	start := w.taken - len(w.held)
	if from < w.taken {
		w.held = w.held[from-start:]
		w.hold(p)
		return
	}
	w.keep(p[from-w.taken:])
}

func (w *writer) keep(tail []byte) {
	w.held = w.room[:0]
	w.hold(tail)
}

// hold adds to what is held. There is room for twice as much, so that what is held is seldom moved, however small the
// pieces are in which output comes.
func (w *writer) hold(p []byte) {
	if cap(w.held)-len(w.held) < len(p) {
		if need := 2 * (len(w.held) + len(p)); cap(w.room) < need {
			w.room = make([]byte, 0, need)
		}
		w.held = append(w.room[:0], w.held...)
	}
	w.held = append(w.held, p...)
}

// change goes on with another automaton, by which what is held is looked at again.
func (w *writer) change(a *automaton) {
	w.auto, w.state, w.spans = a, 0, w.spans[:0]
	w.taken -= len(w.held)
	w.search(w.held)
	w.taken += len(w.held)
}

// Close passes on what was held back. What looks like a value that was cut by the end is masked.
func (w *writer) Close() error {
	if w.auto == nil {
		return nil
	}
	if a := w.masker.auto.Load(); a != w.auto {
		w.change(a)
	}
	w.out = w.out[:0]
	if depth := int(w.auto.nodes[w.state].depth); depth >= minCut {
		w.mark(span{w.taken - depth, w.taken})
	}
	w.emit(nil, w.taken)
	_, err := w.pass(w.out, 0)
	clear(w.room[:cap(w.room)])
	w.held, w.spans, w.state, w.within = w.room[:0], w.spans[:0], 0, false
	return err
}
