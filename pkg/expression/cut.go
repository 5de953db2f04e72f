package expression

import "strings"

const (
	opening = "${{"
	closing = "}}"
)

// piece is a stretch of a template's text.
type piece struct {
	text       string
	at         int // byte in the text where it starts
	expression bool
}

// cut takes a text apart into fixed text and expressions. When an expression does not end, ok is false and at
// is where it starts.
func cut(s string) (pieces []piece, at int, ok bool) {
	for pos := 0; pos < len(s); {
		start := strings.Index(s[pos:], opening)
		if start < 0 {
			return append(pieces, piece{text: s[pos:], at: pos}), 0, true
		}
		if start > 0 {
			pieces = append(pieces, piece{text: s[pos : pos+start], at: pos})
		}
		pos += start
		inner := pos + len(opening)
		end := endOf(s[inner:])
		if end < 0 {
			return nil, pos, false
		}
		pieces = append(pieces, piece{text: s[inner : inner+end], at: inner, expression: true})
		pos = inner + end + len(closing)
	}
	return pieces, 0, true
}

// endOf gives the byte at which "}}" ends the expression that s starts with, or -1. Braces of map literals
// and texts in quotes do not end it.
func endOf(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\'', '"':
			n := quoted(s[i:], i > 0 && (s[i-1] == 'r' || s[i-1] == 'R'))
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{':
			depth++
		case '}':
			if depth == 0 && strings.HasPrefix(s[i:], closing) {
				return i
			}
			depth--
		}
	}
	return -1
}

// quoted gives the length of the CEL text that s starts with, its quotes included, or -1.
func quoted(s string, raw bool) int {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = s[:3]
	}
	for i := len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		}
	}
	return -1
}
