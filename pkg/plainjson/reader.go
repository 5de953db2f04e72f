// Package plainjson reads JSON in the form in which Attune's own services write it: no white space around values, keys
// that are exactly those of the fields, nothing that is null. Such a message is read in a tenth of the time that
// encoding/json takes, and most of what services read of each other is such.
//
// It guarantees that what it reads is what encoding/json would have made of it. Of anything else it reads nothing: it
// gives up, and Unmarshal has encoding/json read the whole. So a message in another form costs time and no more.
package plainjson

import (
	"bytes"
	"encoding/json"
	"time"
)

// Unmarshal reads a message by a function that tells whether the message is in the plain form, and one that is not by
// encoding/json, whose errors it returns.
func Unmarshal[T any](data []byte, plain func(data []byte) (T, bool)) (T, error) {
	if v, ok := plain(data); ok {
		return v, nil
	}
	var v T
	err := json.Unmarshal(data, &v)
	return v, err
}

// Reader reads one message. After it has given up its methods give zero values.
type Reader struct {
	data   []byte
	text   string // a copy of data, of which the texts that are read are parts
	pos    int
	gaveUp bool
}

// New makes a reader. The texts that it reads share one copy of data; nothing that it gives is part of data itself.
func New(data []byte) *Reader { return &Reader{data: data, text: string(data)} }

// Done tells whether data was read from its beginning to its end.
func (r *Reader) Done() bool { return !r.gaveUp && r.pos == len(r.data) }

// Object reads an object. For each key the function reads the value that follows, or tells that it does not know it.
func (r *Reader) Object(field func(key string) bool) {
	r.expect('{')
	for more := !r.next('}'); more && !r.gaveUp; more = r.separated('}') {
		key := r.key()
		if !r.gaveUp && !field(key) {
			r.giveUp()
		}
	}
}

// Array reads an array. The function reads each element.
func (r *Reader) Array(element func()) {
	r.expect('[')
	for more := !r.next(']'); more && !r.gaveUp; more = r.separated(']') {
		element()
	}
}

// Text reads a string.
func (r *Reader) Text() string {
	start := r.pos
	plain := r.skipText()
	switch {
	case r.gaveUp:
		return ""
	case plain:
		return r.text[start+1 : r.pos-1]
	}
	var s string
	r.by(json.Unmarshal(r.data[start:r.pos], &s))
	return s
}

// Int reads a whole number.
func (r *Reader) Int() int {
	n := r.Int64()
	if int64(int(n)) != n {
		r.giveUp()
	}
	return int(n)
}

// Int64 reads a whole number.
func (r *Reader) Int64() int64 {
	if r.next('-') {
		return -r.digits()
	}
	return r.digits()
}

// Uint64 reads a whole number that is not negative.
func (r *Reader) Uint64() uint64 { return uint64(r.digits()) }

// Bool reads true or false.
func (r *Reader) Bool() bool {
	if r.word("true") {
		return true
	}
	if !r.word("false") {
		r.giveUp()
	}
	return false
}

// Time reads a time.
func (r *Reader) Time() (t time.Time) {
	start := r.pos
	if r.skipText(); !r.gaveUp {
		r.by(t.UnmarshalJSON(r.data[start:r.pos]))
	}
	return t
}

// Raw reads any value and gives its text.
func (r *Reader) Raw() json.RawMessage { return bytes.Clone(r.value()) }

// Value reads what is rare enough to leave it to encoding/json, into what there is already.
func Value[T any](r *Reader, into T) T {
	if raw := r.value(); !r.gaveUp {
		r.by(json.Unmarshal(raw, &into))
	}
	return into
}

func (r *Reader) giveUp() { r.gaveUp = true }

// by notes how an operation went by which a value was read.
func (r *Reader) by(err error) {
	if err != nil {
		r.giveUp()
	}
}
