package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/strictjson"
)

func compiled(t testing.TB, doc string) *Schema {
	t.Helper()
	s, err := Compile([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecretsGivesThePlacesThatAreSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schema, value string
		want          []string
	}{
		"none":                 {`{"properties":{"a":{"secret":false}}}`, `{"a":1,"secret":2}`, nil},
		"a property":           {`{"properties":{"a":{"type":"string","secret":true},"b":{}}}`, `{"a":"x","b":"y"}`, []string{"a"}},
		"null hides nothing":   {`{"properties":{"a":{"secret":true}}}`, `{"a":null}`, nil},
		"not there":            {`{"properties":{"a":{"secret":true}}}`, `{}`, nil},
		"an object as a whole": {`{"properties":{"a":{"secret":true,"properties":{"b":{"secret":true}}}}}`, `{"a":{"b":1}}`, []string{"a"}},
		"deep down": {
			`{"properties":{"a":{"items":{"properties":{"p":{"secret":true}}}}}}`,
			`{"a":[{"p":"x"},{"q":"y"},{"p":"z"}]}`,
			[]string{"a.0.p", "a.2.p"},
		},
		"items from the second on": {`{"properties":{"a":{"prefixItems":[{}],"items":{"secret":true}}}}`, `{"a":[1,2,3]}`, []string{"a.1", "a.2"}},
		"the first item":           {`{"properties":{"a":{"prefixItems":[{"secret":true}]}}}`, `{"a":[1,2,3]}`, []string{"a.0"}},
		"items of an older draft": {
			`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"items":[{},{"secret":true}],"additionalItems":{}}}}`,
			`{"a":[1,2,3]}`,
			[]string{"a.1"},
		},
		"by reference":            {`{"$defs":{"s":{"secret":true}},"properties":{"a":{"$ref":"#/$defs/s"}}}`, `{"a":1}`, []string{"a"}},
		"by one of several forms": {`{"properties":{"a":{"anyOf":[{"type":"string","secret":true},{"type":"integer"}]}}}`, `{"a":1}`, []string{"a"}},
		"by a pattern":            {`{"patternProperties":{"_token$":{"secret":true}}}`, `{"a_token":1,"b":2}`, []string{"a_token"}},
		"whatever is not named":   {`{"properties":{"a":{}},"additionalProperties":{"secret":true}}`, `{"a":1,"b":2}`, []string{"b"}},
		"all":                     {`{"secret":true}`, `{"a":1,"b":{"c":2}}`, []string{"a", "b"}},
		"a property of the name":  {`{"properties":{"secret":{"type":"boolean"}}}`, `{"secret":true}`, nil},
		"a schema of itself": {
			`{"properties":{"next":{"$ref":"#"},"p":{"secret":true}}}`,
			`{"next":{"next":{"p":1}},"p":2}`,
			[]string{"next.next.p", "p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := strictjson.Parse([]byte(c.value))
			if err != nil {
				t.Fatal(err)
			}
			s := compiled(t, c.schema)
			var got []string
			for _, path := range s.Secrets(v) {
				got = append(got, strings.Join(path, "."))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if err := s.Validate(v); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecretAtLooksAboveAndBelow(t *testing.T) {
	t.Parallel()
	s := compiled(t, `{"properties":{"host":{"type":"string"},"login":{"properties":{"user":{},"password":{"secret":true}}},
		"keys":{"items":{"secret":true}},"self":{"$ref":"#/properties/self"}}}`)
	for name, c := range map[string]struct {
		path []any
		want bool
	}{
		"another":        {[]any{"host"}, false},
		"unknown":        {[]any{"x", "y", 1}, false},
		"beside it":      {[]any{"login", "user"}, false},
		"itself":         {[]any{"login", "password"}, true},
		"a part of it":   {[]any{"login", "password", "x"}, true},
		"what has it":    {[]any{"login"}, true},
		"everything":     {nil, true},
		"an item":        {[]any{"keys", 3}, true},
		"in a circle":    {[]any{"self"}, false},
		"wrong but near": {[]any{"keys", "x"}, false},
	} {
		if got := s.SecretAt(c.path); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if compiled(t, `{"properties":{"a":{}}}`).SecretAt(nil) || (*Schema)(nil).SecretAt(nil) || new(Schema).Secrets(1) != nil {
		t.Error("a secret where there is none")
	}
}

func TestShowsSecretFindsDefaults(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]bool{
		`{"properties":{"a":{"secret":true}}}`:                                                  false,
		`{"properties":{"a":{"secret":true,"default":null},"b":{"default":1}}}`:                 false,
		`{"properties":{"a":{"secret":true,"default":"x"}}}`:                                    true,
		`{"properties":{"a":{"items":{"secret":true,"default":"x"}}}}`:                          true,
		`{"$defs":{"s":{"secret":true}},"properties":{"a":{"$ref":"#/$defs/s","default":"x"}}}`: true,
		`{"properties":{"o":{"properties":{"a":{"secret":true}},"default":{"a":"x"}}}}`:         true,
		`{"properties":{"o":{"properties":{"a":{"secret":true},"b":{}},"default":{"b":"x"}}}}`:  false,
		`{"default":{"a":"x"},"properties":{"a":{"secret":true}}}`:                              true,
	} {
		if got := compiled(t, doc).ShowsSecret(); got != want {
			t.Errorf("%s: %v", doc, got)
		}
	}
}

func TestSecretIsYesOrNo(t *testing.T) {
	t.Parallel()
	if _, err := Compile([]byte(`{"properties":{"a":{"secret":"yes"}}}`)); err == nil || !strings.Contains(err.Error(), "secret: must be true or false") {
		t.Error(err)
	}
}
