package expression

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/strictjson"
)

func TestASecretIsPassedOnAsAMarker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"alone":                   {`"${{ secrets.TOKEN }}"`, `{"$secret":"TOKEN"}`},
		"alone with white space":  {`" ${{secrets.TOKEN}}\n"`, `{"$secret":"TOKEN"}`},
		"by index":                {`"${{ secrets['my-token'] }}"`, `{"$secret":"my-token"}`},
		"in brackets":             {`"${{ (secrets.TOKEN) }}"`, `{"$secret":"TOKEN"}`},
		"within a text":           {`"Bearer ${{ secrets.TOKEN }}"`, `{"$secret_text":["Bearer ",{"$secret":"TOKEN"}]}`},
		"among others":            {`"${{ event.payload.number }}/${{ event.payload.action }}:${{ secrets.A }}${{ secrets.B }}."`, `{"$secret_text":["7/opened:",{"$secret":"A"},{"$secret":"B"},"."]}`},
		"nested":                  {`{"a":[{"b":"${{ secrets.TOKEN }}"},1]}`, `{"a":[{"b":{"$secret":"TOKEN"}},1]}`},
		"a variable of that name": {`"${{ event.payload.labels.map(secrets, secrets.name) }}"`, `["bug","ui"]`},
		"a text of that name":     {`"${{ 'secrets.TOKEN' }} secrets.TOKEN"`, `"secrets.TOKEN secrets.TOKEN"`},
		"data in a text":          {`"x ${{ {\"$secret\": \"A\"} }}"`, `"x {\"$secret\":\"A\"}"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := strictjson.Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := render(t, in)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(got)
			if diff := cmp.Diff(c.want, string(text)); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestNoExpressionLooksAtASecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string
		column int
	}{
		"compared":              {"${{ secrets.A == 'x' }}", 5},
		"measured":              {"${{ size(secrets.A) }}", 10},
		"put together":          {"${{ 'a' + secrets.A }}", 11},
		"a part of it":          {"${{ secrets.A.b }}", 5},
		"all of them":           {"${{ secrets }}", 5},
		"asked for":             {"${{ has(secrets.A) }}", 9},
		"optional":              {"${{ secrets.?A }}", 5},
		"of a name that varies": {"${{ secrets[event.trigger] }}", 5},
		"chosen":                {"a ${{ event.payload.draft ? secrets.A : 'x' }}", 29},
		"in a list":             {"${{ [secrets.A] }}", 6},
		"a name that cannot be": {"${{ secrets['a b'] }}", 4},
		"a user's":              {"${{ secrets['user/A'] }}", 4},
		"a sealed value":        {"${{ secrets['execution/a'] }}", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := NewTemplate(map[string]any{"p": c.source})
			var ms Mistakes
			if !errors.As(err, &ms) || len(ms) != 1 || ms[0].Line != 1 || ms[0].Column != c.column || !strings.Contains(ms[0].Message, "secret") {
				t.Errorf("got %v, want a mistake in column %d", err, c.column)
			}
		})
	}
	for _, when := range []string{"secrets.A == 'x'", "event.payload.draft || secrets['A'].size() > 3"} {
		if _, err := NewCriteria(when); err == nil || !strings.Contains(err.Error(), "a secret can only be passed on") {
			t.Errorf("%s: %v", when, err)
		}
	}
	if _, err := NewEventKey("secrets.A"); err == nil {
		t.Error("a key of a secret")
	}
}

func TestRulesDoNotWriteMarkersThemselves(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		map[string]any{"a": map[string]any{"$secret": "A"}},
		[]any{map[string]any{"$secret_text": []any{"x"}, "more": 1}},
	} {
		if _, err := NewTemplate(v); err == nil || !strings.Contains(err.Error(), "write ${{ secrets.NAME }}") {
			t.Errorf("%v: %v", v, err)
		}
	}
}

func TestAnEventBringsNoMarkers(t *testing.T) {
	t.Parallel()
	payload, err := strictjson.Parse([]byte(`{"a":{"$secret":"ROOT_PASSWORD"},"b":[{"c":{"$secret_text":[{"$secret":"A"}],"x":1}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		"${{ event.payload }}", "${{ event.payload.a }}", "${{ event.payload.b }}", "${{ event }}", "${{ [event.payload.b[0].c] }}",
		`${{ {"$secret": "A"} }}`, `${{ {"$" + "secret": "A"} }}`,
	} {
		tpl, err := NewTemplate(map[string]any{"p": source})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.Render(context.Background(), map[string]any{"event": map[string]any{"payload": payload}})
		if !errors.Is(err, ErrEvaluation) || !strings.Contains(err.Error(), "$secret") {
			t.Errorf("%s gave %v, %v", source, got, err)
		}
	}
}

func TestReadsTellsWhatAKeyLooksAt(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][][]any{
		`"x"`:                              nil,
		`params.host`:                      {{"host"}},
		`params.a.b["c"][1] + params["d"]`: {{"a", "b", "c", 1}, {"d"}},
		`params.?a.orValue("x")`:           {{"a"}},
		`has(params.a) ? "x" : "y"`:        {{"a"}},
		`string(size(params))`:             {{}},
		`params[params.a]`:                 {{}, {"a"}},
		`[1].map(x, params.a)[0]`:          {{"a"}},
		`{"k": params.a}["k"]`:             {{"a"}},
	} {
		k, err := NewKey(source)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, k.Reads()); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
}
