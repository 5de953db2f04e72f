package forward

import (
	"bytes"
	"time"
	"unicode/utf8"
)

const (
	// maxLine is the longest text of a record; longer lines come in pieces.
	maxLine = 64 << 10
	// holdRest is how long the beginning of a line is held back for its end.
	holdRest = time.Second
	// maxHeld bounds what is held back of all streams together.
	maxHeld = 16 << 20
	// maxIdle is how long a stream that does not end is remembered, to tell repeated chunks from new ones.
	maxIdle = 10 * time.Minute
)

// chunk is a message of LOGS.
type chunk struct {
	log, stream string
	of          source
	seq         uint64
	offset      int64
	time        time.Time
	data        []byte
	last        bool
}

// record begins one at an offset.
func (c chunk) record(offset int64) Record {
	return Record{Log: c.log, Stream: c.stream, Of: c.of, Offset: offset, Time: c.time}
}

// lines joins chunks and cuts them into lines.
type lines struct {
	streams map[[2]string]*partial
	held    int // bytes of all rests
}

// partial is what is known of a stream between its chunks.
type partial struct {
	next  int64 // the offset that comes
	seen  time.Time
	rest  []byte // a line whose end has not come
	first Record // of the rest: all but its text
	seq   uint64 // of the message in which the rest begins
	since time.Time
}

func newLines() *lines { return &lines{streams: map[[2]string]*partial{}} }

// add takes a chunk and gives the lines that it completes. The same bytes again give nothing.
func (l *lines) add(c chunk, now time.Time) (out []Record) {
	key := [2]string{c.log, c.stream}
	p := l.streams[key]
	if p == nil {
		p = &partial{next: c.offset}
		l.streams[key] = p
	}
	p.seen = now
	if over := p.next - c.offset; over > 0 {
		over = min(over, int64(len(c.data)))
		c.offset, c.data = c.offset+over, c.data[over:]
	}
	if c.offset > p.next && len(p.rest) > 0 { // what is between was dropped
		out = append(out, l.release(p))
	}
	if len(c.data) > 0 {
		out = append(out, l.cut(p, c, now)...)
		p.next = c.offset + int64(len(c.data))
	}
	if c.last {
		if len(p.rest) > 0 {
			r := l.release(p)
			r.Partial = false
			out = append(out, r)
		}
		delete(l.streams, key)
	}
	return out
}

// cut gives the lines that a chunk ends, and holds back the rest.
func (l *lines) cut(p *partial, c chunk, now time.Time) (out []Record) {
	for data := c.data; len(data) > 0; {
		if len(p.rest) == 0 {
			p.first = c.record(c.offset + int64(len(c.data)-len(data)))
			p.seq, p.since = c.seq, now
		}
		end := bytes.IndexByte(data, '\n')
		took, ends := len(data), end >= 0
		if ends {
			took = end
		}
		if room := maxLine - len(p.rest); took > room {
			took, ends = room, false
		}
		l.hold(p, data[:took])
		data = data[took:]
		switch {
		case ends:
			data = data[1:]
			r := l.release(p)
			r.Partial = false
			out = append(out, r)
		case len(p.rest) == maxLine && len(data) > 0 && data[0] != '\n':
			out = append(out, l.piece(p, c, took, now))
		}
	}
	return out
}

// piece gives what is held of a long line, but for a character that is not whole. The last took bytes are of this
// chunk.
func (l *lines) piece(p *partial, c chunk, took int, now time.Time) Record {
	whole := wholeRunes(p.rest)
	tail := bytes.Clone(p.rest[whole:])
	r := l.release(p)
	r.Text = r.Text[:whole]
	if len(tail) > 0 {
		p.first = c.record(r.Offset + int64(whole))
		p.since = now
		if took >= len(tail) {
			p.seq = c.seq
		}
		l.hold(p, tail)
	}
	return r
}

// wholeRunes is the length of b without an unfinished character at its end.
func wholeRunes(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if at := len(b) - n; utf8.RuneStart(b[at]) {
			if !utf8.FullRune(b[at:]) {
				return at
			}
			break
		}
	}
	return len(b)
}

func (l *lines) hold(p *partial, data []byte) {
	p.rest = append(p.rest, data...)
	l.held += len(data)
}

// release gives what is held of a stream.
func (l *lines) release(p *partial) Record {
	r := p.first
	r.Text, r.Partial = p.rest, true
	l.held -= len(p.rest)
	p.rest = nil
	return r
}

// due gives the rests that were held for long enough, and all of them where they are too much.
func (l *lines) due(now time.Time) (out []Record) {
	all := l.held > maxHeld
	for key, p := range l.streams {
		switch {
		case len(p.rest) > 0 && (all || now.Sub(p.since) >= holdRest):
			out = append(out, l.release(p))
		case len(p.rest) == 0 && now.Sub(p.seen) >= maxIdle:
			delete(l.streams, key)
		}
	}
	return out
}

// floor gives the first message of which something is held; 0 when nothing is.
func (l *lines) floor() (seq uint64) {
	for _, p := range l.streams {
		if len(p.rest) > 0 && (seq == 0 || p.seq < seq) {
			seq = p.seq
		}
	}
	return seq
}
