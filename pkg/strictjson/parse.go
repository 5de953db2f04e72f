package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 128

// Error says what is wrong with a document, and where.
type Error struct {
	Path    string // "parameters.hosts[3]"; "" means the document itself
	Offset  int    // in bytes from the start; -1 when it is not known
	Message string
}

// Error gives "path: message".
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Parse reads one JSON value. Objects become map[string]any, numbers json.Number.
// Keys that differ only in case are different keys here: only a typed reader can confuse them.
func Parse(data []byte) (any, error) {
	p := &parser{data: data}
	if !utf8.Valid(data) {
		return nil, &Error{Offset: invalidAt(data), Message: "not valid UTF-8"}
	}
	v, err := p.document()
	if err != nil {
		return nil, err
	}
	return v, nil
}

// ParseObject is Parse for a document that must be an object.
func ParseObject(data []byte) (map[string]any, error) {
	v, err := Parse(data)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, &Error{Offset: 0, Message: "must be an object, not " + Kind(v)}
	}
	return m, nil
}

// Kind names the JSON kind of a value that Parse made.
func Kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "text"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	default:
		return "a number"
	}
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// parser is a recursive descent over data. The path is kept as a stack so that it costs nothing until needed.
type parser struct {
	data  []byte
	pos   int
	depth int
	path  []step
}

// step is an object's key, or an array's index when key is "" and array is set.
type step struct {
	key   string
	index int
	array bool
}

func (p *parser) document() (any, error) {
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(p.data) {
		return nil, p.fail("there is more after the end of the value")
	}
	return v, nil
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{Path: p.pathText(), Offset: p.pos, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) pathText() string {
	var b strings.Builder
	for _, s := range p.path {
		writeStep(&b, s)
	}
	return b.String()
}

func writeStep(b *strings.Builder, s step) {
	switch {
	case s.array:
		fmt.Fprintf(b, "[%d]", s.index)
	case b.Len() > 0:
		b.WriteString("." + s.key)
	default:
		b.WriteString(s.key)
	}
}

func (p *parser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek gives the next byte that is not white space, or 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.pos == len(p.data) {
		return 0
	}
	return p.data[p.pos]
}

func (p *parser) value() (any, error) {
	switch c := p.peek(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		return p.text()
	case c == '-' || (c >= '0' && c <= '9'):
		return p.number()
	default:
		return p.word()
	}
}

func (p *parser) word() (any, error) {
	rest := p.data[p.pos:]
	switch {
	case len(rest) == 0:
		return nil, p.fail("the document ends too early")
	case bytes.HasPrefix(rest, []byte("true")):
		p.pos += len("true")
		return true, nil
	case bytes.HasPrefix(rest, []byte("false")):
		p.pos += len("false")
		return false, nil
	case bytes.HasPrefix(rest, []byte("null")):
		p.pos += len("null")
		return nil, nil
	default:
		return nil, p.fail("%q is not JSON", clip(rest))
	}
}

func clip(b []byte) string {
	if len(b) > 12 {
		b = b[:12]
	}
	return strings.ToValidUTF8(string(b), "")
}

func (p *parser) enter() error {
	p.pos++
	p.depth++
	if p.depth > MaxDepth {
		return &Error{Offset: p.pos, Message: fmt.Sprintf("nested deeper than %d", MaxDepth)}
	}
	return nil
}

func (p *parser) object() (any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	m := map[string]any{}
	if p.peek() == '}' {
		p.leave()
		return m, nil
	}
	for {
		if err := p.member(m); err != nil {
			return nil, err
		}
		more, err := p.next('}')
		if err != nil || !more {
			return m, err
		}
	}
}

func (p *parser) member(m map[string]any) error {
	if p.peek() != '"' {
		return p.fail("expected a key in quotes")
	}
	start := p.pos
	key, err := p.text()
	if err != nil {
		return err
	}
	p.path = append(p.path, step{key: key})
	if _, double := m[key]; double {
		p.pos = start
		return p.fail("given twice")
	}
	if p.peek() != ':' {
		return p.fail("expected a colon after the key")
	}
	p.pos++
	v, err := p.value()
	m[key] = v
	if err == nil {
		p.path = p.path[:len(p.path)-1]
	}
	return err
}

func (p *parser) array() (any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	list := []any{}
	if p.peek() == ']' {
		p.leave()
		return list, nil
	}
	for {
		p.path = append(p.path, step{array: true, index: len(list)})
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		list = append(list, v)
		more, err := p.next(']')
		if err != nil || !more {
			return list, err
		}
	}
}

// next takes the comma or the closing bracket after an element; more tells which.
func (p *parser) next(end byte) (more bool, err error) {
	switch p.peek() {
	case ',':
		p.pos++
		return true, nil
	case end:
		p.leave()
		return false, nil
	default:
		return false, p.fail("expected a comma or %q", end)
	}
}

func (p *parser) leave() {
	p.pos++
	p.depth--
}

// text reads a string. Its end is found by hand, its escapes are encoding/json's business.
func (p *parser) text() (string, error) {
	start := p.pos
	plain := true
	for i := start + 1; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '\\':
			plain = false
			i++
		case c == '"':
			p.pos = i + 1
			return p.unquote(start, plain)
		case c < ' ':
			p.pos = i
			return "", p.fail("a control character in a text must be escaped")
		}
	}
	return "", p.fail("a text without its closing quote")
}

func (p *parser) unquote(start int, plain bool) (string, error) {
	if plain {
		return string(p.data[start+1 : p.pos-1]), nil
	}
	var s string
	if err := json.Unmarshal(p.data[start:p.pos], &s); err != nil {
		p.pos = start
		return "", p.fail("a text with a wrong escape")
	}
	return s, nil
}
