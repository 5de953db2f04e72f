package mask

import (
	"encoding/json"
	"net/url"
	"strings"
)

// patterns are the forms in which values may be written, each once.
type patterns struct {
	known map[string]struct{}
	list  []string
	bytes int  // of list
	full  bool // forms are added while there is room only
	buf   []byte
}

func (ps *patterns) add(form string) {
	if _, ok := ps.known[form]; !ok {
		ps.keep(form)
	}
}

// take adds a form that is in the buffer, which is free again afterwards.
func (ps *patterns) take(form []byte) {
	if cap(form) > cap(ps.buf) {
		ps.buf = form[:0]
	}
	if _, ok := ps.known[string(form)]; !ok {
		ps.keep(string(form))
	}
}

func (ps *patterns) keep(form string) {
	if len(form) < MinValue || ps.full && ps.bytes+len(form) > MaxEncoded {
		return
	}
	ps.known[form] = struct{}{}
	ps.list = append(ps.list, form)
	ps.bytes += len(form)
}

// addPlain adds a value as it is, and its parts. It tells whether the value is long enough.
func (ps *patterns) addPlain(value string) bool {
	if !Masks(value) {
		return false
	}
	trimmed := strings.TrimSpace(value)
	ps.add(trimmed)
	for _, part := range parts(trimmed) {
		ps.add(part)
		ps.addAll(lines(part))
	}
	ps.addAll(lines(trimmed))
	if strings.Contains(trimmed, "\n") {
		unix := strings.ReplaceAll(trimmed, "\r\n", "\n")
		ps.add(unix)
		ps.add(strings.ReplaceAll(unix, "\n", "\r\n"))
	}
	return true
}

// addEncoded adds the other forms of a value and of its parts, for as long as there is room.
func (ps *patterns) addEncoded(value string) {
	if !Masks(value) {
		return
	}
	trimmed := strings.TrimSpace(value)
	ps.full = true
	defer func() { ps.full = false }()
	ps.encode(trimmed)
	if value != trimmed {
		ps.digits(value)
	}
	for _, part := range parts(trimmed) {
		ps.encode(part)
	}
	for _, line := range lines(trimmed) {
		ps.escapes(line) // of its own nobody writes it in digits
	}
}

func (ps *patterns) encode(value string) {
	ps.escapes(value)
	ps.digits(value)
}

func (ps *patterns) addAll(forms []string) {
	for _, f := range forms {
		ps.add(f)
	}
}

// lines gives the long lines of a value that has several.
func lines(value string) (found []string) {
	if !strings.ContainsAny(value, "\r\n") {
		return nil
	}
	for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\n' || r == '\r' }) {
		found = appendLong(found, line)
	}
	return found
}

// parts gives what else of a value is a secret by itself: the long strings of a JSON document, the password of an
// address.
func parts(value string) (found []string) {
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err == nil {
			password, _ := u.User.Password()
			found = appendLong(found, password)
		}
	}
	if first := value[0]; first == '{' || first == '[' || first == '"' {
		var document any
		if json.Unmarshal([]byte(value), &document) == nil {
			found = stringsOf(document, found)
		}
	}
	return found
}

func appendLong(found []string, text string) []string {
	if text = strings.TrimSpace(text); len(text) >= MinLine {
		found = append(found, text)
	}
	return found
}

// stringsOf adds the long strings of a document.
func stringsOf(document any, found []string) []string {
	switch v := document.(type) {
	case string:
		found = appendLong(found, v)
	case []any:
		for _, one := range v {
			found = stringsOf(one, found)
		}
	case map[string]any:
		for _, one := range v {
			found = stringsOf(one, found)
		}
	}
	return found
}
