package mask

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// JSON masks the strings and keys of a JSON document as they are when they are read, and numbers that hold a value,
// which become text. Everything else stays as it is, byte for byte. The document stays valid: keys that have become
// the same are told apart by a number. It tells whether anything was masked. What is no JSON becomes a text of it.
func (m *Masker) JSON(raw []byte) ([]byte, bool) {
	if m == nil || m.auto.Load() == nil || len(bytes.TrimSpace(raw)) == 0 {
		return raw, false
	}
	if !json.Valid(raw) {
		return quote(m.String(string(raw))), true
	}
	d := &document{m: m, in: raw, out: make([]byte, 0, len(raw))}
	d.run()
	if !d.changed {
		return raw, false
	}
	return d.out, true
}

// document is a JSON document that is being masked.
type document struct {
	m       *Masker
	in      []byte
	out     []byte
	changed bool
	keys    []map[string]struct{} // of each object and array that is open, the keys that were masked; nil: none
}

func (d *document) run() {
	for i := 0; i < len(d.in); {
		switch c := d.in[i]; {
		case c == '"':
			end := endOfString(d.in, i)
			d.text(d.in[i:end], isKey(d.in, end))
			i = end
			continue
		case c == '{' || c == '[':
			d.keys = append(d.keys, nil)
		case c == '}' || c == ']':
			d.keys = d.keys[:len(d.keys)-1]
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(d.in) && bytes.IndexByte([]byte("+-.0123456789eE"), d.in[end]) >= 0 {
				end++
			}
			d.number(d.in[i:end])
			i = end
			continue
		}
		d.out = append(d.out, d.in[i])
		i++
	}
}

// endOfString gives the offset behind the string that begins at i.
func endOfString(in []byte, i int) int {
	for i++; in[i] != '"'; i++ {
		if in[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func isKey(in []byte, i int) bool {
	rest := bytes.TrimLeft(in[i:], " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

func (d *document) number(token []byte) {
	if d.m.Hides(string(token)) {
		d.changed = true
		token = quote(Replacement)
	}
	d.out = append(d.out, token...)
}

func (d *document) text(token []byte, key bool) {
	plain := string(token[1 : len(token)-1])
	if bytes.IndexByte(token, '\\') >= 0 && json.Unmarshal(token, &plain) != nil {
		plain = ""
	}
	masked := d.m.String(plain)
	if masked == plain && !d.m.Hides(string(token)) {
		d.out = append(d.out, token...)
		return
	}
	d.changed = true
	written := quote(masked)
	if masked == plain || d.m.Hides(string(written)) {
		written, masked = quote(Replacement), Replacement // how it is written makes a value of what is none
	}
	if key {
		written = d.unique(masked)
	}
	d.out = append(d.out, written...)
}

// unique gives a key that no other masked key of the object is.
func (d *document) unique(key string) []byte {
	own := &d.keys[len(d.keys)-1]
	if *own == nil {
		*own = map[string]struct{}{}
	}
	name := key
	for n := 2; ; n++ {
		if _, taken := (*own)[name]; !taken {
			break
		}
		name = key + " " + strconv.Itoa(n)
	}
	(*own)[name] = struct{}{}
	return quote(name)
}

func quote(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text can be encoded
	return bytes.TrimSpace(b.Bytes())
}
