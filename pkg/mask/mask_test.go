package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/mask"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "gh/p+Zr4 ü\"<ö>&'x\\$y`9K=="

func TestString(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nshort\n-----END KEY-----\n"
	cases := []struct {
		name    string
		secrets []string
		in      string
		want    string
	}{
		{"nothing to hide", nil, "hello", "hello"},
		{"a value", []string{"s3cret"}, "it is s3cret.", "it is ***."},
		{"a value twice in a row is one run", []string{"s3cret"}, "s3crets3cret!", "***!"},
		{"a value in pieces stays", []string{"s3cret"}, "s3cre t", "s3cre t"},
		{"the longer one of two that begin alike", []string{"abcd", "abcdefgh"}, "abcdefgh abcdef", "*** ***ef"},
		{"the longer one, given first", []string{"abcdefgh", "abcd"}, "abcdefgh abcdef", "*** ***ef"},
		{"one within another that is not finished", []string{"xxabcdyyz", "abcd"}, "xxabcdyy", "xx***yy"},
		{"two that overlap leave nothing of either", []string{"abcdef", "defghi"}, "-abcdefghi-", "-***-"},
		{"a value that overlaps itself", []string{"abab"}, "-ababab-", "-***-"},
		{"one that ends another", []string{"abcdefgh", "efgh"}, "xefgh", "x***"},
		{"a value with spaces around it", []string{"  s3cret\n"}, "[s3cret]", "[***]"},
		{"a value that is too short", []string{"abc"}, "abc", "abc"},
		{"each long line of a key", []string{pem}, "MIIEvQIBADANBgkq and short", "*** and short"},
		{"the whole key", []string{pem}, "<" + pem + ">", "<***\n>"},
		{"the whole key with other line ends", []string{pem}, strings.ReplaceAll(pem, "\n", "\r\n"), "***\r\n"},
		{"the whole key in one line", []string{pem}, strings.ReplaceAll(pem, "\n", " "), "*** *** *** short *** "},
		{"a string of a document", []string{`{"user":"me","private_key":"line one!\nline two!"}`}, "key line two! of me", "key *** of me"},
		{"the password of an address", []string{"postgres://me:p4ssw0rd%21@db/x"}, "me p4ssw0rd! db", "me *** db"},
		{"what is cut by the end", []string{"0123456789abcdefghij"}, "see 0123456789ab", "see ***"},
		{"little of what is cut by the end", []string{"0123456789abcdefghij"}, "see 0123456789a", "see 0123456789a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := mask.New(c.secrets...).String(c.in); got != c.want {
				t.Errorf("%q became %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[1 : len(text)-1])
}

func TestFormsOfAValueAreFound(t *testing.T) {
	t.Parallel()
	m := mask.New(token)
	forms := map[string]string{
		"as it is": token, "JSON of Go": mustJSON(t, token), "hex": hex.EncodeToString([]byte(token)),
		"HEX":   strings.ToUpper(hex.EncodeToString([]byte(token))),
		"query": url.QueryEscape(token),
		"path":  url.PathEscape(token),
		"query, lower case": strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%3C", "%3c", "%3E", "%3e", "%5C", "%5c", "%3D", "%3d",
			"%C3", "%c3", "%BC", "%bc", "%B6", "%b6").Replace(url.QueryEscape(token)),
		"base64":            base64.RawStdEncoding.EncodeToString([]byte(token)),
		"base64 for URLs":   base64.RawURLEncoding.EncodeToString([]byte(token)),
		"Go's %q":           strings.Trim(fmt.Sprintf("%q", token), `"`),
		"ASCII %+q":         strings.Trim(fmt.Sprintf("%+q", token), `"`),
		"HTML":              html.EscapeString(token),
		"PHP's JSON":        `gh\/p+Zr4 \u00fc\"<\u00f6>&'x\\$y` + "`9K==",
		"JSON, upper case":  `gh/p+Zr4 \u00FC\"<\u00F6>&'x\\$y` + "`9K==",
		"single quotes":     strings.ReplaceAll(token, "'", `'\''`),
		"Python's quotes":   strings.ReplaceAll(token, "'", `'"'"'`),
		"double quotes":     strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(token),
		"curl -w (Basic)":   "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+token)),
		"JavaScript's URI":  "gh/p+Zr4%20%C3%BC%22%3C%C3%B6%3E&'x%5C$y%609K==",
		"JavaScript's part": "gh%2Fp%2BZr4%20%C3%BC%22%3C%C3%B6%3E%26'x%5C%24y%609K%3D%3D",
	}
	for name, form := range forms {
		got := m.String("<<" + form + ">>")
		shown := strings.NewReplacer("<<", "", ">>", "", "***", "", "Authorization: Basic ", "").Replace(got)
		if !strings.Contains(got, "***") || len(shown) > 10 {
			t.Errorf("%s: %q became %q", name, form, got)
		}
	}
}

func TestBase64IsFoundAtEveryAlignment(t *testing.T) {
	t.Parallel()
	value := "Zr4-9Kx_q?~t>u"
	m := mask.New(value)
	for before := range 7 {
		for after := range 7 {
			text := strings.Repeat("ab", before)[:before] + value + strings.Repeat("cd", after)[:after]
			for name, enc := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding} {
				got := m.String(enc.EncodeToString([]byte(text)))
				around := (before+2)/3*4 + (after+2)/3*4 + 4
				if !strings.Contains(got, "***") || len(got)-3 > around {
					t.Errorf("%s, %d before and %d behind: %s", name, before, after, got)
				}
			}
		}
	}
}

func TestLinesOfBase64AreFound(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("Zr4-9Kx_q?~t>u", 20)
	m := mask.New(value)
	for _, width := range []int{64, 76} {
		var lines []string
		for rest := base64.StdEncoding.EncodeToString([]byte(value)); rest != ""; {
			n := min(width, len(rest))
			lines, rest = append(lines, rest[:n]), rest[n:]
		}
		if got := m.String(strings.Join(lines, "\n")); strings.Trim(got, "*\n=") != "" {
			t.Errorf("width %d: %q", width, got)
		}
	}
}

// What real programs write, where they are installed.
func TestFormsThatProgramsWriteAreFound(t *testing.T) {
	t.Parallel()
	value := "a/b+c=d'e\"f$g<h>&i \\j`k~l?m#n%o"
	m := mask.New(value)
	for name, args := range map[string][]string{
		"bash's %q":          {"bash", "-c", `printf %q "$1"`, "-", value},
		"bash's declaration": {"bash", "-c", `v=$1; declare -p v | sed 's/^declare -- v="//; s/"$//'`, "-", value},
		"Python's JSON":      {"python3", "-c", "import json,sys; print(json.dumps(sys.argv[1])[1:-1])", value},
		"Python's repr":      {"python3", "-c", "import sys; print(repr(sys.argv[1])[1:-1])", value},
		"Python's quote":     {"python3", "-c", "import sys,urllib.parse as u; print(u.quote(sys.argv[1]))", value},
		"Python's form":      {"python3", "-c", "import sys,urllib.parse as u; print(u.urlencode({'a': sys.argv[1]})[2:])", value},
		"Python's shlex":     {"python3", "-c", "import sys,shlex; print(shlex.quote(sys.argv[1])[1:-1])", value},
		"Python's base64":    {"python3", "-c", "import sys,base64; print(base64.b64encode(sys.argv[1].encode()).decode().strip('='))", value},
		"Python's HTML":      {"python3", "-c", "import sys,html; print(html.escape(sys.argv[1]))", value},
		"Node's JSON":        {"node", "-e", "console.log(JSON.stringify(process.argv[1]).slice(1,-1))", value},
		"Node's component":   {"node", "-e", "console.log(encodeURIComponent(process.argv[1]))", value},
		"Node's URI":         {"node", "-e", "console.log(encodeURI(process.argv[1]))", value},
		"Node's parameters":  {"node", "-e", "console.log(new URLSearchParams({a:process.argv[1]}).toString().slice(2))", value},
		"jq's @uri":          {"jq", "-rn", "--arg", "v", value, "$v|@uri"},
		"jq's @sh":           {"jq", "-rn", "--arg", "v", value, "$v|@sh|.[1:-1]"},
		"jq's @html":         {"jq", "-rn", "--arg", "v", value, "$v|@html"},
		"jq's @base64":       {"jq", "-rn", "--arg", "v", value, `$v|@base64|rtrimstr("=")|rtrimstr("=")`},
	} {
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("%s is not tested: %v", name, err)
			continue
		}
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output() //nolint:gosec // the table's own
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.TrimSpace(m.String(string(out))); got != "***" {
			t.Errorf("%s: %q became %q", name, out, got)
		}
	}
}

func TestAPromptWithoutALineEndIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := mask.New("s3cret").Writer(&out)
	for _, c := range []struct{ in, want string }{
		{"go on? [y/N] ", "go on? [y/N] "},
		{"s3cr", ""}, // may become the value
		{"et", "***"},
		{"s", ""},
		{"!", "s!"},
		{"s3crets3c", "***"},
		{"x", "s3cx"},
	} {
		out.Reset()
		if n, err := io.WriteString(w, c.in); n != len(c.in) || err != nil {
			t.Fatal(n, err)
		}
		if out.String() != c.want {
			t.Errorf("after %q came %q, want %q", c.in, out.String(), c.want)
		}
	}
}

func TestAValueMayBeAddedWhileItIsWritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := mask.New("abcdefgh")
	w := m.Writer(&out)
	write := func(s string) {
		t.Helper()
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
	}
	write("late abcd")
	if !m.Add("abcdxyz") || m.Add("xyz") {
		t.Error("only a value of less than four bytes is too short")
	}
	write("xyz and later")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "late *** and later" {
		t.Error(got)
	}
	none := mask.New()
	out.Reset()
	w = none.Writer(&out)
	write("latecomer ")
	none.Add("latecomer")
	write("latecomer")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "latecomer ***" {
		t.Error(got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, secret, in, want string
	}{
		{"nothing to hide", "s3cret", `{"a": 1.50, "b":[true,null]}`, `{"a": 1.50, "b":[true,null]}`},
		{"a string", "s3cret", `{"a": "x s3cret y"}`, `{"a": "x *** y"}`},
		{"a string with escapes", `a"b\c`, `["a\"b\\c", "\u0061\"\u0062\\c"]`, `["***", "***"]`},
		{"a key", "s3cret", `{"s3cret": 1, "b": {"s3cret": 2}}`, `{"***": 1, "b": {"***": 2}}`},
		{"keys that become the same", "s3cret", `{"s3cret": 1, "s3crets3cret": 2, "***": 3}`, `{"***": 1, "*** 2": 2, "***": 3}`},
		{"a number", "123456", `{"pin": 123456, "more": [-1.234567e2, 12345]}`, `{"pin": "***", "more": [-1.234567e2, 12345]}`},
		{"what is written like a value", `a\"b`, `["a\"b"]`, `["***"]`},
		{"text that is no JSON", "s3cret", `{"a": s3cret`, `"{\"a\": ***"`},
		{"nothing at all", "s3cret", ``, ``},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, changed := mask.New(c.secret).JSON([]byte(c.in))
			if string(got) != c.want || changed != (c.in != c.want) {
				t.Errorf("%s became %s (%v), want %s", c.in, got, changed, c.want)
			}
		})
	}
}

func TestANilMaskerHidesNothing(t *testing.T) {
	t.Parallel()
	var m *mask.Masker
	raw, changed := m.JSON([]byte(`"x"`))
	if m.String("x") != "x" || string(raw) != `"x"` || changed {
		t.Error("it changed something")
	}
}

// The memory of what is known of a large key and of many values is bounded.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 400 {
		many = append(many, strings.Repeat(fmt.Sprintf("%08d/%c+ü ", i, 'a'+i%26), 70))
	}
	line := func(i int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%048d", i*7919)) }
	var pem []string
	for i := range 1100 {
		pem = append(pem, line(i))
	}
	large := strings.Join(pem, "\n")[:64<<10]
	for name, values := range map[string][]string{"many": many, "large": {large}} {
		m := mask.New(values...)
		if n := m.Bytes(); n > 40<<20 {
			t.Errorf("%s: %d bytes", name, n)
		}
		for _, v := range values {
			if got := m.String(v); strings.Trim(got, "* \n") != "" {
				t.Fatalf("%s: %.100q is not masked: %.100q", name, v, got)
			}
		}
		t.Logf("%s: %d forms, %d bytes", name, len(m.Forms()), m.Bytes())
	}
}

func TestAWriteAllocatesNothing(t *testing.T) { //nolint:paralleltest // what others allocate would be counted
	w := mask.New("s3cret-0123456789", strings.Repeat("a", 5000)+"b").Writer(io.Discard)
	pieces := [][]byte{[]byte("a line with s3cret-0123456789 in it\n"), []byte("s3cret-01234"), bytes.Repeat([]byte("a"), 4000), []byte("x\n")}
	round := func() {
		for _, p := range pieces {
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(50, round); n != 0 {
		t.Errorf("%v allocations in a round", n)
	}
}
