package forward

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeadersAreReadAsOpenTelemetryDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]http.Header{
		"": {},
		"Authorization=Bearer%20a.b-c_d,X-Scope-OrgID=tenant": {"Authorization": {"Bearer a.b-c_d"}, "X-Scope-Orgid": {"tenant"}},
		"authorization=Basic dTpwYXNz+w==":                    {"Authorization": {"Basic dTpwYXNz+w=="}},
		" a = 1 ,\tb\t=\t2 ,, c = %2C%3B%22%5C%25 ,":          {"A": {"1"}, "B": {"2"}, "C": {`,;"\%`}},
		"x=":               {"X": {""}},
		"x=%C3%A9":         {"X": {"é"}},
		"!#$&'*+-.^_`|~=1": {"!#$&'*+-.^_`|~": {"1"}},
	} {
		got, err := (Destination{Target: "otlp+http://h"}).parseHeaders(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"hidden":                          `header 1 has no "="`,
		"a=1,hidden":                      `header 2 has no "="`,
		"=hidden":                         "a name that HTTP does not allow",
		"hid den=1":                       "a name that HTTP does not allow",
		"hidden:=1":                       "a name that HTTP does not allow",
		"hiddén=1":                        "a name that HTTP does not allow",
		"x=hidden;a=b":                    "must be percent-encoded",
		`x="hidden"`:                      "must be percent-encoded",
		"x=hiddén":                        "must be percent-encoded",
		"x=hidden\ny=hidden":              "must be percent-encoded",
		"x=hidden%":                       "encodes nothing",
		"x=hidden%zz":                     "encodes nothing",
		"x=hidden%0D%0AY:%20hidden":       "a character in its value that HTTP does not allow",
		"x=hidden%00":                     "a character in its value that HTTP does not allow",
		"x=%7Fhidden":                     "a character in its value that HTTP does not allow",
		"x=hidden,X=hidden":               "header 2 is there before",
		"content-type=hidden":             "is Content-Type, which requests have by themselves",
		"HOST=hidden":                     "is Host, ",
		"Content-Length=1":                "is Content-Length, ",
		"te=hidden":                       "is Te, ",
		"user-agent=hidden":               "is User-Agent, ",
		"transfer-encoding=hidden":        "is Transfer-Encoding, ",
		"X-A=hidden,Connection=keep":      "header 2 is Connection, ",
		"X-A=hidden,Content-Encoding=zip": "header 2 is Content-Encoding, ",
	} {
		err := (Destination{Target: "otlp+http://h", Headers: text}).CheckHeaders()
		if !errors.Is(err, ErrHeaders) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzHeaders checks that net/http sends what is accepted.
func FuzzHeaders(f *testing.F) {
	f.Add("Authorization=Bearer%20x,X-Scope-OrgID=a b")
	f.Add("x=%0D%0A")
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := (Destination{}).parseHeaders(text)
		if err != nil {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = headers
		resp, err := (&http.Transport{}).RoundTrip(req) // nobody answers there
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || strings.Contains(err.Error(), "invalid") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
