package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(` {"a":[1,-0.5e3,9007199254740993,true,false,null,"x\né\"\ud800"],"A":{},"":[]} `))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{
			json.Number("1"), json.Number("-0.5e3"), json.Number("9007199254740993"), true, false, nil,
			"x\né\"\uFFFD",
		},
		"A": map[string]any{}, "": []any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseNamesTheMistake(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ in, want string }{
		"empty":              {"", "the document ends too early"},
		"cut":                {`{"a":[1,`, "a[1]: the document ends too early"},
		"more":               {`{} {}`, "there is more after the end of the value"},
		"duplicate key":      {`{"a":{"b":1,"b":2}}`, "a.b: given twice"},
		"escaped duplicate":  {`{"a":1,"\u0061":2}`, "a: given twice"},
		"word":               {`{"a":NaN}`, `a: "NaN}" is not JSON`},
		"leading zero":       {`[01]`, `[0]: "01" is not a number`},
		"lonely minus":       {`-`, `"-" is not a number`},
		"no digits":          {`1.`, `"1." is not a number`},
		"huge exponent":      {`{"n":1e999999999}`, `n: the number 1e999999999... is out of range`},
		"tiny exponent":      {`1e-999999999`, `the number 1e-999999999... is out of range`},
		"endless number":     {strings.Repeat("9", 5000), `the number 999999999999... is out of range`},
		"invalid UTF-8":      {"\"a\xff\"", "not valid UTF-8"},
		"control":            {"\"a\nb\"", "a control character in a text must be escaped"},
		"bad escape":         {`{"a":"\x"}`, "a: a text with a wrong escape"},
		"open text":          {`"abc`, "a text without its closing quote"},
		"no colon":           {`{"a" 1}`, "a: expected a colon after the key"},
		"no comma":           {`[1 2]`, `expected a comma or ']'`},
		"trailing comma":     {`{"a":1,}`, "expected a key in quotes"},
		"deep":               {strings.Repeat("[", 10000), "nested deeper than 128"},
		"byte order mark":    {"\ufeff{}", `"\ufeff{}" is not JSON`},
		"a comment":          {"{} // x", "there is more after the end of the value"},
		"unquoted key":       {"{a:1}", "expected a key in quotes"},
		"path through lists": {`{"a":[{"b":[1,{"c":x}]}]}`, `a[0].b[1].c: "x}]}]}" is not JSON`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(c.in))
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

type inner struct {
	Limit int `json:"limit"`
}

type outer struct {
	inner2
	Action  string           `json:"action"`
	Inner   inner            `json:"inner"`
	List    []inner          `json:"list"`
	Map     map[string]inner `json:"map"`
	Free    any              `json:"free"`
	Raw     json.RawMessage  `json:"raw"`
	hidden  int              //nolint:unused // the test is that no document can set it
	Ignored int              `json:"-"`
}

type inner2 struct {
	Embedded bool `json:"embedded"`
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	var got outer
	in := `{"embedded":true,"action":"a.b","inner":{"limit":1},"list":[{"limit":2}],"map":{"X":{"limit":3}},` +
		`"free":{"Any":9007199254740993},"raw":{"Limit":1}}`
	if err := Unmarshal([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	want := outer{
		inner2: inner2{Embedded: true}, Action: "a.b", Inner: inner{1}, List: []inner{{2}},
		Map: map[string]inner{"X": {3}}, Free: map[string]any{"Any": json.Number("9007199254740993")},
		Raw: json.RawMessage(`{"Limit":1}`),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
		t.Error(diff)
	}
}

func TestUnmarshalNamesTheField(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ in, want string }{
		"other case":       {`{"action":"a","Action":"b"}`, "Action: not a known field"},
		"only other case":  {`{"ACTION":"b"}`, "ACTION: not a known field"},
		"unknown, nested":  {`{"list":[{"limit":1},{"limitt":1}]}`, "list[1].limitt: not a known field"},
		"unknown in a map": {`{"map":{"x":{"Limit":1}}}`, "map.x.Limit: not a known field"},
		"hidden":           {`{"hidden":1}`, "hidden: not a known field"},
		"ignored":          {`{"Ignored":1}`, "Ignored: not a known field"},
		"wrong type":       {`{"action":1}`, "action: must be text, not the number"},
		"fraction":         {`{"inner":{"limit":1.5}}`, "inner.limit: must be a whole number that fits, not the number 1.5"},
		"object for list":  {`{"list":{}}`, "list: must be an array, not an object"},
		"duplicate":        {`{"action":"a","action":"b"}`, "action: given twice"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v outer
			err := Unmarshal([]byte(c.in), &v)
			var mistake *Error
			if !errors.As(err, &mistake) || mistake.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestStorableReplacesNUL(t *testing.T) {
	t.Parallel()
	v, err := Parse([]byte(`{"a\u0000":["x\u0000y",{"b":"\u0000"}],"ok":"é"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, changed := Storable(v)
	want := map[string]any{"a\uFFFD": []any{"x\uFFFDy", map[string]any{"b": "\uFFFD"}}, "ok": "é"}
	if diff := cmp.Diff(want, got); diff != "" || !changed {
		t.Error(changed, diff)
	}
	if _, changed := Storable(map[string]any{"a": []any{"b", json.Number("1")}}); changed {
		t.Error("changed what needed no change")
	}
}

// FuzzParse checks that we accept nothing that encoding/json refuses, and read the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9",null,true]}`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, "[[[[", "-0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse(data)
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	one := `{"id":9007199254740993,"name":"some name","tags":["a","b"],"nested":{"flag":true,"none":null}}`
	doc := []byte("[" + strings.Repeat(one+",", 200) + one + "]")
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
