package mask

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	lowerDigits = "0123456789abcdef"
	upperDigits = "0123456789ABCDEF"
)

// digits adds a value in hexadecimal digits and in base64.
func (ps *patterns) digits(value string) {
	b := hex.AppendEncode(ps.buf[:0], []byte(value))
	ps.take(b)
	for i, c := range b {
		if c >= 'a' {
			b[i] = c - 'a' + 'A'
		}
	}
	ps.take(b)
	ps.base64(value)
}

// base64 adds what base64 makes of a value, wherever in what is encoded it stands: its first byte is the first, second
// or third of a group. Characters that depend on the bytes before or behind are left out.
func (ps *patterns) base64(value string) {
	whole := base64.RawStdEncoding.AppendEncode(ps.buf[:0], []byte(value))
	for _, width := range []int{64, 76} { // of the lines that openssl and base64 write
		for i := 0; len(whole) > width && i < len(whole); i += width {
			ps.take(whole[i:min(i+width, len(whole))])
		}
	}
	ps.both(whole)
	padded := make([]byte, 0, len(value)+2)
	for before := range 3 {
		padded = append(append(padded[:0], "\x00\x00"[:before]...), value...)
		text := base64.RawStdEncoding.AppendEncode(ps.buf[:0], padded)
		from := (8*before + 5) / 6 // the first character that holds nothing of what is before
		to := 8 * len(padded) / 6  // behind the last that holds nothing of what follows
		ps.both(text[from:to])
	}
}

// both adds a text in base64's own alphabet and in the one for URLs.
func (ps *patterns) both(text []byte) {
	ps.take(text)
	other := false
	for i, c := range text {
		switch c {
		case '+':
			text[i], other = '-', true
		case '/':
			text[i], other = '_', true
		}
	}
	if other {
		ps.take(text)
	}
}

// traits is what of a value decides which forms differ from it.
type traits struct{ special, slash, html, quote, blank, control, unicode bool }

func traitsOf(value string) (t traits) {
	for i := range len(value) {
		switch c := value[i]; {
		case isPlain(c):
		case c >= utf8.RuneSelf:
			t.special, t.unicode = true, true
		default:
			t.special = true
			t.slash = t.slash || c == '/'
			t.html = t.html || c == '<' || c == '>' || c == '&'
			t.quote = t.quote || c == '"' || c == '\'' || c == '\\' || c == '`' || c == '$'
			t.blank = t.blank || c == ' '
			t.control = t.control || c < ' ' || c == 0x7f
		}
	}
	return t
}

// isPlain tells what every encoder leaves as it is.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// escapes adds a value as JSON, URLs, shells, programming languages and HTML write it.
func (ps *patterns) escapes(value string) {
	t := traitsOf(value)
	if !t.special {
		return
	}
	ps.json(value, t)
	ps.url(value, t)
	ps.quoted(value, t)
}

// jsonStyle is how an encoder writes what it may write in several ways.
type jsonStyle struct {
	ascii  bool   // everything else as \uXXXX
	html   bool   // < > & and the line separators too
	slash  bool   // \/
	digits string // of the escapes
}

func (ps *patterns) json(value string, t traits) {
	alphabets := []string{lowerDigits}
	if t.html || t.unicode || t.control {
		alphabets = append(alphabets, upperDigits)
	}
	for _, alphabet := range alphabets {
		for _, s := range []jsonStyle{{}, {html: true}, {ascii: true}, {ascii: true, html: true}, {slash: true}, {ascii: true, slash: true}} {
			if s.ascii && !t.unicode || s.html && !t.html && !t.unicode || s.slash && !t.slash {
				continue
			}
			s.digits = alphabet
			ps.take(s.escape(ps.buf[:0], value))
		}
	}
}

func (s jsonStyle) escape(b []byte, value string) []byte {
	for i, r := range value {
		switch {
		case r == utf8.RuneError && value[i] != "\uFFFD"[0]:
			b = append(b, value[i]) // no text: as it is
		case r < ' ' && strings.ContainsRune("\b\f\n\r\t", r):
			b = append(b, '\\', "btn_fr"[r-'\b'])
		case r == '"' || r == '\\' || r == '/' && s.slash:
			b = append(b, '\\', byte(r))
		case r < ' ', s.ascii && r >= 0x7f, s.html && strings.ContainsRune("<>&\u2028\u2029", r):
			b = s.unicode(b, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

func (s jsonStyle) unicode(b []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return s.unicode(s.unicode(b, high), low)
	}
	return append(b, '\\', 'u', s.digits[r>>12&15], s.digits[r>>8&15], s.digits[r>>4&15], s.digits[r&15])
}

// What encoders of URLs leave as it is, besides letters and digits: those of Go and RFC 3986, of a path in Go, of
// JavaScript for a part and for a whole, of Python, of forms.
var urlKept = []string{"-_.~", "-_.~$&+=:@", "-_.!~*'()", "-_.!~*'();,/?:@&=+$#", "-_.~/", "-_.*"}

func (ps *patterns) url(value string, t traits) {
	for _, alphabet := range []string{upperDigits, lowerDigits} {
		for _, kept := range urlKept {
			ps.take(percent(ps.buf[:0], value, kept, alphabet))
			if t.blank {
				ps.take(percent(ps.buf[:0], value, kept+" ", alphabet))
			}
		}
	}
}

// percent escapes what is not kept. A blank that is kept is a plus.
func percent(b []byte, value, kept, alphabet string) []byte {
	for i := range len(value) {
		c := value[i]
		switch {
		case isPlain(c) && c > '.' && c != '_' || strings.IndexByte(kept, c) >= 0:
			if c == ' ' {
				c = '+'
			}
			b = append(b, c)
		default:
			b = append(b, '%', alphabet[c>>4], alphabet[c&15])
		}
	}
	return b
}

// quotedForms write a value as it stands between quotes of shells and of languages, escaped for a shell, and in HTML.
var quotedForms = []*strings.Replacer{
	strings.NewReplacer("'", `'\''`),
	strings.NewReplacer("'", `'"'"'`),
	backslash("\\\"$`"),
	backslash(" \t!\"$&'()*,;<>?[\\]^`{|}"),
	backslash(" \t!\"#$&'()*;<>?[\\]`{|}~"),
	backslash(" \t!\"#$%&'()*+,:;<=>?@[\\]^`{|}~"),
	strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`),
	strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "'", `\'`),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;"),
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;"),
}

func backslash(special string) *strings.Replacer {
	var pairs []string
	for i := range len(special) {
		pairs = append(pairs, special[i:i+1], `\`+special[i:i+1])
	}
	return strings.NewReplacer(pairs...)
}

func (ps *patterns) quoted(value string, t traits) {
	for _, r := range quotedForms {
		ps.add(r.Replace(value)) // gives value itself when nothing changes
	}
	if t.unicode || t.control {
		s := jsonStyle{ascii: true, digits: lowerDigits}
		ps.take(s.escape(ps.buf[:0], strings.ReplaceAll(value, "'", `\'`)))
	}
}
