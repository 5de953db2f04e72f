package attunetest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// needles are the forms in which the canaries would be found.
type needles map[string][]byte // by what they are

// needlesOf gives the forms of values: raw, half of the part that cannot be by chance, as JSON, in an address, in
// hexadecimal digits, and in base64 wherever in a text it stands.
func needlesOf(t *testing.T, values map[string]string) needles {
	t.Helper()
	all := needles{}
	for name, value := range values {
		add := func(what, form string) { all[name+" "+what] = []byte(form) }
		add("raw", value)
		add("first half", value[:len(value)/2])
		add("second half", value[len(value)/2:])
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		add("as JSON", strings.Trim(string(text), `"`))
		add("as JSON for pages", strings.NewReplacer("&", `\u0026`, `"`, `\"`, "é", `\u00e9`).Replace(value))
		add("in a query", url.QueryEscape(value))
		add("in a path", url.PathEscape(value))
		add("in hex", hex.EncodeToString([]byte(value)))
		add("in HEX", strings.ToUpper(hex.EncodeToString([]byte(value))))
		for before := range 3 {
			padded := append(bytes.Repeat([]byte{0}, before), value...)
			for alphabet, encoding := range map[string]*base64.Encoding{"": base64.RawStdEncoding, " for addresses": base64.RawURLEncoding} {
				text := encoding.EncodeToString(padded)
				add(fmt.Sprintf("in base64%s at %d", alphabet, before), text[(8*before+5)/6:8*len(padded)/6])
			}
		}
	}
	return all
}

// in tells which needles are in a text.
func (n needles) found(text []byte) (found []string) {
	for what, needle := range n {
		if bytes.Contains(text, needle) {
			found = append(found, what)
		}
	}
	return found
}

// Should this not find them, the test below proves nothing.
func TestTheCanariesWouldBeFound(t *testing.T) {
	t.Parallel()
	const value = `k3&"` + "éabcdefghij" + `/+klmnopqrst`
	n := needlesOf(t, map[string]string{"X": value})
	quoted, err := json.Marshal("a" + value)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"a" + value + "b", string(quoted), url.QueryEscape("ab" + value), hex.EncodeToString([]byte("a" + value)),
		base64.StdEncoding.EncodeToString([]byte("a" + value + "b")), base64.URLEncoding.EncodeToString([]byte("ab" + value + "c")),
		base64.StdEncoding.EncodeToString([]byte("abc" + value)), value[:len(value)-1],
	} {
		if len(n.found([]byte(text))) == 0 {
			t.Errorf("not found in %s", text)
		}
	}
	if found := n.found([]byte("nothing of it k3 is here")); found != nil {
		t.Errorf("found %v", found)
	}
}
