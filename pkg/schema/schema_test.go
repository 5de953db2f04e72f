package schema

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/strictjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t *testing.T, s string) any {
	t.Helper()
	v, err := strictjson.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func compile(t *testing.T, s string) *Schema {
	t.Helper()
	c, err := Compile([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const hostSchema = `{"type":"object","required":["host","port"],"additionalProperties":false,"properties":{
	"host":{"type":"string","minLength":2,"pattern":"^[a-z]+$"},
	"port":{"type":"integer","minimum":1,"maximum":65535},
	"id":{"const":9007199254740993},
	"level":{"enum":["low",1,null]},
	"url":{"type":"string","format":"uri"},
	"tags":{"type":"array","items":{"type":"string"},"maxItems":3},
	"either":{"oneOf":[{"type":"string"},{"type":"object","required":["a"]}]},
	"forms":{"anyOf":[{"propertyNames":{"pattern":"^a"}},{"type":"string"}]},
	"map":{"propertyNames":{"enum":["a","b"]}},
	"secret":{"type":"string","secret":true,"maxLength":3}}}`

func TestValidateReportsEveryFaultWithItsPath(t *testing.T) {
	t.Parallel()
	s := compile(t, hostSchema)
	cases := map[string]struct{ in, want string }{
		"fits":             {`{"host":"web","port":80,"id":9007199254740993,"level":null,"url":"http://a/b","either":"x"}`, ""},
		"missing":          {`{}`, "host: is required; port: is required"},
		"unknown":          {`{"host":"web","port":80,"Host":1,"x":2}`, "Host: is not a known property; x: is not a known property"},
		"types":            {`{"host":1,"port":"80"}`, "host: must be text, not a number; port: must be a whole number, not text"},
		"fraction":         {`{"host":"web","port":1.5}`, "port: must be a whole number, not a number"},
		"bounds":           {`{"host":"w","port":0}`, "host: must have at least 2 characters; port: must be at least 1"},
		"next to 2^53":     {`{"host":"web","port":80,"id":9007199254740992}`, "id: must be 9007199254740993"},
		"enum":             {`{"host":"web","port":80,"level":"high"}`, `level: must be one of "low", 1, null`},
		"format":           {`{"host":"web","port":80,"url":":"}`, "url: is not a valid uri"},
		"nested":           {`{"host":"web","port":80,"tags":["a",1,"b",2]}`, "tags: must have at most 3 items; tags.1: must be text, not a number; tags.3: must be text, not a number"},
		"forms":            {`{"host":"web","port":80,"either":{}}`, "either: fits none of the allowed forms (must be text, not an object), (a: is required)"},
		"not an object":    {`[]`, "must be an object, not a list"},
		"names":            {`{"host":"web","port":80,"map":{"a":1,"c":2}}`, `map.c: the name of property "c" is not allowed: must be one of "a", "b"`},
		"names, in forms":  {`{"host":"web","port":80,"forms":{"x":1}}`, `forms: fits none of the allowed forms (x: the name of property "x" is not allowed: must match the pattern ^a), (must be text, not an object)`},
		"value not shown":  {`{"host":"web","port":80,"secret":"hunter2"}`, "secret: must have at most 3 characters"},
		"pattern no value": {`{"host":"Hunter2","port":80}`, "host: must match the pattern ^[a-z]+$"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := s.Validate(parse(t, c.in)); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ in, want string }{
		"a file":          {`{"$ref":"file:///etc/passwd"}`, "only point into the same schema"},
		"a server":        {`{"properties":{"a":{"$ref":"http://127.0.0.1:1/x.json#/a"}}}`, "only point into the same schema"},
		"a neighbour":     {`{"$ref":"other.json"}`, "only point into the same schema"},
		"an unknown type": {`{"properties":{"a":{"type":"strng"}}}`, "properties.a.type: "},
		"no object":       {`["type"]`, "must be"},
		"broken pattern":  {`{"pattern":"("}`, "pattern"},
		"dangling ref":    {`{"$ref":"#/$defs/none"}`, "$defs/none"},
		"duplicate keys":  {`{"type":"string","type":"object"}`, "type: given twice"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if _, err := Compile([]byte(`{"$ref":"file:///etc/passwd"}`)); !errors.Is(err, ErrRemoteRef) {
		t.Errorf("got %v", err)
	}
}

func TestCompileNamesEveryFaultOfASchema(t *testing.T) {
	t.Parallel()
	_, err := Compile([]byte(`{"type":"obj","properties":{"a":{"minimum":"x"}}}`))
	var fs Faults
	if !errors.As(err, &fs) || len(fs) != 2 {
		t.Fatalf("got %#v", err)
	}
	if fs[0].Field() != "properties.a.minimum" || fs[1].Field() != "type" {
		t.Error(fs)
	}
}

func TestAnEmptySchemaAcceptsEverything(t *testing.T) {
	t.Parallel()
	s := compile(t, "")
	if err := s.Validate(parse(t, `[1]`)); err != nil {
		t.Error(err)
	}
	if err := (*Schema)(nil).Validate(nil); err != nil {
		t.Error(err)
	}
}

func TestARefWithinTheSchemaWorks(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"left":{"$ref":"#/$defs/tree"}}}}}`)
	if err := s.Validate(parse(t, `{"left":{"left":1}}`)); err == nil || err.Error() != "left.left: must be an object, not a number" {
		t.Error(err)
	}
}

func TestWithDefaults(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"properties":{"a":{"default":1},"b":{"default":"x"},"c":{"properties":{"d":{"default":[true]}}},"e":{}}}`)
	given := map[string]any{"a": nil, "c": map[string]any{"z": "y"}}
	got := s.WithDefaults(given)
	want := map[string]any{"a": nil, "b": "x", "c": map[string]any{"z": "y", "d": []any{true}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(given) != 2 {
		t.Error("the given map was changed")
	}
	if got := s.WithDefaults(nil)["a"]; got != json.Number("1") {
		t.Errorf("%#v", got)
	}
}

func BenchmarkValidate(b *testing.B) {
	s, err := Compile([]byte(hostSchema))
	if err != nil {
		b.Fatal(err)
	}
	v, err := strictjson.Parse([]byte(`{"host":"web","port":80,"tags":["a","b"]}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Validate(v); err != nil {
			b.Fatal(err)
		}
	}
}
