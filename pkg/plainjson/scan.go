package plainjson

import (
	"encoding/json"
	"strings"
)

const (
	// maxDigits is how many digits fit into any whole number.
	maxDigits = 18
	// maxDepth is well below the depth that encoding/json refuses.
	maxDepth = 1000
)

// peek gives the next byte, or 0 at the end.
func (r *Reader) peek() byte {
	if r.gaveUp || r.pos >= len(r.data) {
		return 0
	}
	return r.data[r.pos]
}

// next takes the byte if it is the next.
func (r *Reader) next(b byte) bool {
	if r.peek() != b {
		return false
	}
	r.pos++
	return true
}

func (r *Reader) expect(b byte) {
	if !r.next(b) {
		r.giveUp()
	}
}

// separated tells, after an element, whether there is another before the end.
func (r *Reader) separated(end byte) bool {
	if r.next(',') {
		return true
	}
	r.expect(end)
	return false
}

// key takes a key and its colon.
func (r *Reader) key() string {
	start := r.pos
	if !r.skipText() {
		r.giveUp()
		return ""
	}
	key := r.text[start+1 : r.pos-1]
	r.expect(':')
	return key
}

// skipText passes a string by, and tells whether what it says is what is written: without escapes, in ASCII.
func (r *Reader) skipText() (plain bool) {
	if !r.next('"') {
		r.giveUp()
		return false
	}
	plain = true
	for i := r.pos; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.pos = i + 1
			return plain
		case c == '\\':
			i++ // and what it escapes
			plain = false
		case c < ' ' || c >= 0x80:
			plain = false
		}
	}
	r.giveUp()
	return false
}

func (r *Reader) digits() (n int64) {
	start := r.pos
	for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
		n = 10*n + int64(c-'0')
		r.pos++
		if r.pos-start > maxDigits {
			r.giveUp()
		}
	}
	if r.pos == start || r.data[start] == '0' && r.pos > start+1 {
		r.giveUp()
	}
	return n
}

// word takes a word if it is the next.
func (r *Reader) word(w string) bool {
	if r.gaveUp || !strings.HasPrefix(r.text[r.pos:], w) {
		return false
	}
	r.pos += len(w)
	return true
}

// value passes any value by and gives its text.
func (r *Reader) value() []byte {
	start := r.pos
	for depth := 0; ; {
		if c := r.peek(); c == 0 || depth == 0 && c <= ' ' { // the end, or white space, which is not of the value
			break
		}
		if depth += r.step(); depth < 0 || depth > maxDepth {
			break
		}
		if depth == 0 && r.ended() {
			return r.valid(r.data[start:r.pos])
		}
	}
	r.giveUp()
	return nil
}

func (r *Reader) valid(raw []byte) []byte {
	if !json.Valid(raw) {
		r.giveUp()
		return nil
	}
	return raw
}

// step passes a string or a byte by, and tells how much deeper that leads.
func (r *Reader) step() int {
	switch r.peek() {
	case '"':
		r.skipText()
		return 0
	case '{', '[':
		r.pos++
		return 1
	case '}', ']':
		r.pos++
		return -1
	}
	r.pos++
	return 0
}

// ended tells, outside of objects and arrays, whether a value ends here.
func (r *Reader) ended() bool {
	c := r.peek()
	return r.pos == len(r.data) || c == ',' || c == '}' || c == ']'
}
