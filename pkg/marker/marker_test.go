package marker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindGivesWhatADocumentRefersTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc  string
		refs []Ref
		at   []string
	}{
		"nothing":                       {`{"a":[1,{"b":"$secret"}],"secret":"x"}`, nil, nil},
		"a secret by name":              {`{"a":{"$secret":"TOKEN"}}`, []Ref{"TOKEN"}, []string{"a"}},
		"the whole document":            {`{"$secret":"TOKEN"}`, []Ref{"TOKEN"}, []string{""}},
		"a user's secret":               {`[{"$secret":"user/my-token"}]`, []Ref{"user/my-token"}, []string{"0"}},
		"a sealed value":                {`{"a":{"b":{"$secret":"execution/a/b"}}}`, []Ref{"execution/a/b"}, []string{"a.b"}},
		"a text with two secrets":       {`{"a":{"$secret_text":["x ",{"$secret":"B"}," ",{"$secret":"A"}]}}`, []Ref{"A", "B"}, []string{"a"}},
		"one secret in several places":  {`[{"$secret":"A"},{"x":{"$secret":"A"}}]`, []Ref{"A"}, []string{"0", "1.x"}},
		"a key written with an escape":  {`{"a":{"\u0024secret":"TOKEN"}}`, []Ref{"TOKEN"}, []string{"a"}},
		"keys that only look like ours": {`{"$Secret":"A","$secrets":"B","$secret_texts":[]}`, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places, err := InDocument(json.RawMessage(c.doc))
			if err != nil {
				t.Fatal(err)
			}
			var at []string
			for _, p := range places {
				at = append(at, strings.Join(p.Path, "."))
			}
			if diff := cmp.Diff(c.refs, RefsOf(places)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.at, at); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatLooksLikeAMarkerIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"more keys":                    `{"x":[{"$secret":"A","b":1}]}`,
		"both keys":                    `{"x":[{"$secret":"A","$secret_text":["a"]}]}`,
		"no text":                      `{"x":[{"$secret":1}]}`,
		"null":                         `{"x":[{"$secret":null}]}`,
		"an object":                    `{"x":[{"$secret":{"$secret":"A"}}]}`,
		"no name":                      `{"x":[{"$secret":""}]}`,
		"a name that cannot be":        `{"x":[{"$secret":"a b"}]}`,
		"another scope":                `{"x":[{"$secret":"pack/A"}]}`,
		"a user without a name":        `{"x":[{"$secret":"user/"}]}`,
		"two users":                    `{"x":[{"$secret":"user/user/A"}]}`,
		"a sealed value without path":  `{"x":[{"$secret":"execution/"}]}`,
		"a text that is no list":       `{"x":[{"$secret_text":"A"}]}`,
		"an empty text":                `{"x":[{"$secret_text":[]}]}`,
		"a text with a number":         `{"x":[{"$secret_text":[1]}]}`,
		"a text with a list":           `{"x":[{"$secret_text":[["a"]]}]}`,
		"a text with an object":        `{"x":[{"$secret_text":[{"a":"b"}]}]}`,
		"a text in a text":             `{"x":[{"$secret_text":[{"$secret_text":["a"]}]}]}`,
		"a text with more keys inside": `{"x":[{"$secret_text":[{"$secret":"A","b":1}]}]}`,
		"a text with a sealed value":   `{"x":[{"$secret_text":[{"$secret":"execution/a"}]}]}`,
		"a text of too many parts":     `{"x":[{"$secret_text":[` + strings.Repeat(`"",`, maxParts) + `""]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := InDocument(json.RawMessage(doc))
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrMalformed) || strings.Join(e.Path, ".") != "x.0" {
				t.Errorf("got %v, want a mistake at x.0", err)
			}
			if _, err := Resolve(json.RawMessage(doc), map[Ref]string{"A": "a"}); !errors.Is(err, ErrMalformed) {
				t.Errorf("resolve: got %v", err)
			}
		})
	}
}

func TestTheNumberOfSecretsIsBounded(t *testing.T) {
	t.Parallel()
	list := func(n, of int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = Of(Ref(fmt.Sprint("S", i%of)))
		}
		return out
	}
	if places, err := Find(list(maxPlaces, MaxRefs)); err != nil || len(places) != maxPlaces {
		t.Errorf("%d places, %v", len(places), err)
	}
	for _, many := range [][]any{list(MaxRefs+1, MaxRefs+1), list(maxPlaces+1, 1)} {
		if _, err := Find(many); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d: got %v", len(many), err)
		}
	}
}

func TestResolvePutsValuesInTheirPlaces(t *testing.T) {
	t.Parallel()
	values := map[Ref]string{
		"TOKEN": "s3<&>\"\\\u2028", "user/T": "mine", "execution/pin": "9007199254740993.10", "execution/o/a~1b": `{"k":["v",1e2,{"$secret":"TOKEN"}]}`,
		"SELF": `{"$secret":"TOKEN"}`,
	}
	for name, c := range map[string]struct{ doc, want string }{
		"nothing changes without markers": {` { "b" : 1.0, "a" : "<\u0024>" } `, ` { "b" : 1.0, "a" : "<\u0024>" } `},
		"by name":                         {`{"a":{"$secret":"TOKEN"},"n":1.50}`, `{"a":"s3<&>\"\\\u2028","n":1.50}`},
		"of the user":                     {`[{"$secret":"user/T"},"<&>"]`, `["mine","<&>"]`},
		"a text":                          {`{"a":{"$secret_text":["Bearer ",{"$secret":"user/T"},"/",{"$secret":"user/T"}]}}`, `{"a":"Bearer mine/mine"}`},
		"sealed ones keep their type":     {`{"pin":{"$secret":"execution/pin"}}`, `{"pin":9007199254740993.10}`},
		"sealed ones are not looked into": {`{"o":{"$secret":"execution/o/a~1b"}}`, `{"o":{"k":["v",1e2,{"$secret":"TOKEN"}]}}`},
		"values are not looked into":      {`{"o":{"$secret":"SELF"}}`, `{"o":"{\"$secret\":\"TOKEN\"}"}`},
		"deeply nested":                   {strings.Repeat(`[`, 40) + `{"$secret":"user/T"}` + strings.Repeat(`]`, 40), strings.Repeat(`[`, 40) + `"mine"` + strings.Repeat(`]`, 40)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Resolve(json.RawMessage(c.doc), values)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestResolveNeedsEveryValueAndShowsNone(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{"a":{"$secret":"NO"}}`, `{"a":{"$secret_text":[{"$secret":"T"},{"$secret":"NO"}]}}`, `{"a":{"$secret":"execution/bad"}}`} {
		_, err := Resolve(json.RawMessage(doc), map[Ref]string{"T": "s3cr3t", "execution/bad": `{"s3cr3t":`})
		if !errors.Is(err, ErrUnresolved) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestHiddenGivesEveryTextOfEveryValue(t *testing.T) {
	t.Parallel()
	got := Hidden(map[Ref]string{"B": "b", "execution/a": `{"k":["v",12.0,true,null,{"x":"deep"}]}`, "user/C": "c"})
	if diff := cmp.Diff([]string{"b", "v", "12.0", "deep", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSealedAtNamesAPlaceOnly(t *testing.T) {
	t.Parallel()
	if a, b := SealedAt([]string{"a/b", "c"}), SealedAt([]string{"a", "b/c"}); a != "execution/a~1b/c" || b != "execution/a/b~1c" {
		t.Errorf("%s and %s", a, b)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add(`{"a":{"$secret":"TOKEN"}}`)
	f.Add(`{"a":{"$secret_text":["x",{"$secret":"TOKEN"}]}}`)
	f.Add(`{"a":{"$secret":"A","$secret_text":[]}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		places, err := InDocument(json.RawMessage(doc))
		if err != nil || !MayHold(json.RawMessage(doc)) {
			return
		}
		values := map[Ref]string{}
		for _, r := range RefsOf(places) {
			values[r] = `"value"`
		}
		out, err := Resolve(json.RawMessage(doc), values)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		left, err := InDocument(out)
		if err != nil || len(left) > 0 {
			t.Fatalf("%s became %s: %v, %v", doc, out, left, err)
		}
	})
}
