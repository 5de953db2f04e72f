package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

const everyKind = `{
  "type": "object",
  "properties": {
    "text": {"type": "string"}, "n": {"type": "integer"}, "x": {"type": "number"}, "on": {"type": "boolean"},
    "list": {"type": "array"}, "map": {"type": "object"}, "maybe": {"type": ["integer", "null"]},
    "either": {"type": ["string", "integer"]}, "level": {"enum": ["low", "high"]}, "size": {"enum": [1, 2]},
    "some": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "there": {"$ref": "#/$defs/count"},
    "loop": {"$ref": "#/properties/loop"}, "lost": {"$ref": "#/nowhere"}, "any": {}, "pin": {"type": "string", "secret": true}
  },
  "additionalProperties": {"type": "integer"},
  "$defs": {"count": {"type": "integer"}}
}`

func TestTheSchemaSaysWhatATextIs(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"text=3": `"3"`, "text=": `""`, "text=a=b": `"a=b"`, "text=true": `"true"`, "n=3": `3`, "n=-4": `-4`, "n=1e3": `1e3`, "n=3.0": `3.0`,
		"n=12345678901234567890123": `12345678901234567890123`, "x=0.5": `0.5`, "on=true": `true`, `list=["a"]`: `["a"]`, `map={"a":1}`: `{"a":1}`,
		"maybe=null": `null`, "maybe=4": `4`, "either=5": `"5"`, "level=low": `"low"`, "size=2": `2`, "some=true": `true`, "some=7": `7`, "there=8": `8`,
		"loop=x": `"x"`, "lost=x": `"x"`, "any=5": `"5"`, "unknown=5": `5`, `text:=5`: `5`, `n:="a"`: `"a"`, `any:={"a":[1]}`: `{"a":[1]}`, "text=${{ x }}": `"${{ x }}"`,
	}
	for arg, want := range cases {
		out, err := arguments(nil, []string{arg}, json.RawMessage(everyKind))
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(out, &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: %s: %v", arg, out, err)
		}
		key := strings.TrimSuffix(arg[:strings.Index(arg, "=")], ":")
		if string(got[key]) != want {
			t.Errorf("%s: got %s, want %s", arg, got[key], want)
		}
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"n=abc": "n=abc: want a whole number", "n=1.5": "want a whole number", "n=": "want a whole number", "n=0x10": "want a whole number",
		"on=yes": "want true or false", "list=a,b": "want an array", "map=x": "want an object", "maybe=x": "want a whole number, or null",
		"some=x": "want true or false, or a whole number", "size=big": "want a number", "n": "want key=value", "=x": "want key=value", ":=x": "want key=value",
		"any:=x": "any:=x: ", `any:={"a":1,"a":2}`: "any:=", "list=[1": "want an array",
	}
	for arg, want := range cases {
		if _, err := arguments(nil, []string{arg}, json.RawMessage(everyKind)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arg, err, want)
		}
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := arguments(nil, []string{"n=a", "on=b", "text=c", "text=d"}, json.RawMessage(everyKind))
	for _, want := range []string{"n=a", "on=b", "text is given twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestArgumentsStandAboveTheBase(t *testing.T) {
	t.Parallel()
	base := map[string]json.RawMessage{"n": json.RawMessage("1"), "big": json.RawMessage("12345678901234567890")}
	out, err := arguments(base, []string{"n=2"}, json.RawMessage(everyKind))
	if err != nil || string(out) != `{"big":12345678901234567890,"n":2}` {
		t.Errorf("got %s, %v", out, err)
	}
	if string(base["n"]) != "1" {
		t.Error("the base was changed")
	}
}

func TestWithoutASchemaATextIsText(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"", "{}"} {
		out, err := arguments(nil, []string{"n=2"}, json.RawMessage(schema))
		if err != nil || string(out) != `{"n":"2"}` {
			t.Errorf("schema %q: got %s, %v", schema, out, err)
		}
	}
	out, err := arguments(nil, nil, nil)
	if err != nil || string(out) != `{}` {
		t.Errorf("got %s, %v", out, err)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("n=3", everyKind)
	f.Add("there=3", `{"properties":{"there":{"$ref":"#/properties/there"}}}`)
	f.Add("x:={", `{"properties":{"x":{"anyOf":[{"$ref":"#"}]}}}`)
	f.Fuzz(func(t *testing.T, arg, schema string) {
		out, err := arguments(nil, []string{arg}, json.RawMessage(schema))
		if err == nil && !json.Valid(out) {
			t.Errorf("%q with %q: %q is no JSON", arg, schema, out)
		}
	})
}
