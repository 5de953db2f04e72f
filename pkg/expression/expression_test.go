package expression

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/strictjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const payload = `{"action":"opened","number":7,"big":9007199254740993,"huge":340282366920938463463374607431768211456,
	"ratio":1.5,"none":null,"draft":false,"labels":[{"name":"bug"},{"name":"ui"}],"text":"Größe: 10",
	"odd key":"x","list":[3,1,2],"time":"2026-01-02T03:04:05Z"}`

func event(t testing.TB) map[string]any {
	t.Helper()
	p, err := strictjson.Parse([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"id": "0192", "trigger": "github.issues", "source": "webhook",
		"time": time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), "payload": p,
	}
}

func match(t testing.TB, source string) (bool, string, error) {
	t.Helper()
	c, err := NewCriteria(source)
	if err != nil {
		t.Fatal(err)
	}
	return decide(c, event(t))
}

// decide gives also why an event does not fit.
func decide(c *Criteria, event map[string]any) (bool, string, error) {
	ok, err := c.Match(context.Background(), event)
	return ok, c.Explain(context.Background(), event), err
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`true`,
		`event.payload.action == "opened" && event.trigger == "github.issues"`,
		`event.payload.big == 9007199254740993 && event.payload.big != 9007199254740992`,
		`event.payload.number < 7.5 && event.payload.ratio > 1 && event.payload.number == 7.0`,
		`event.payload.huge == event.payload.huge && string(event.payload.huge).endsWith("1456")`,
		`event.payload.labels.exists(l, l.name == "bug")`,
		`event.payload.labels.map(l, l.name).join(",") == "bug,ui"`,
		`event.payload.none == null && !event.payload.draft`,
		`!has(event.payload.absent) && event.payload.?absent.orValue("x") == "x"`,
		`"number" in event.payload && event.payload["odd key"] == "x"`,
		`event.payload.absent == 1 || true`,
		`event.payload.text.matches("^Gr..e: \\d+$") && matches(event.payload.text, "10")`,
		`event.payload.text.indexOf(":") == 5 && event.payload.text.substring(0, 3) == "Grö" && event.payload.text.charAt(2) == "ö"`,
		`" A-b ".trim().lowerAscii() == "a-b" && "ab".upperAscii() == "AB"`,
		`"a-b-a".replace("a", "") == "-b-" && "a-b".split("-") == ["a", "b"] && "aba".lastIndexOf("a") == 2`,
		`event.time > timestamp(event.payload.time) && event.time.getHours("Europe/Berlin") == 13`,
		`event.payload.list.filter(x, x > 1).size() == 2`,
		`event.payload.number == 7 ? event.payload.ratio == 1.5 : false`,
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			if ok, reason, err := match(t, source); !ok || err != nil || reason != "" {
				t.Error(ok, reason, err)
			}
		})
	}
}

func TestMatchSaysWhatWasFalse(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		`event.payload.action == "closed"`: `event.payload.action == "closed" is false: event.payload.action is "opened"`,
		`event.trigger == "github.issues" && event.payload.number > 10 && event.payload.ratio > 9`: `event.payload.number > 10 is false: event.payload.number is 7`,
		`event.payload.draft`:                                    `event.payload.draft is false`,
		`!(event.payload.number == 7)`:                           `!(event.payload.number == 7) is false: event.payload.number is 7`,
		`event.payload.number == 1 || event.payload.ratio == 2`:  `event.payload.number == 1 || event.payload.ratio == 2 is false: event.payload.number is 7, event.payload.ratio is 1.5`,
		`has(event.payload.absent)`:                              `has(event.payload.absent) is false: event.payload.absent is missing`,
		`event.payload.labels.exists(l, l.name == "x")`:          `event.payload.labels.exists(l, l.name == "x") is false: event.payload.labels is [{"name":"bug"},{"name":"ui"}]`,
		`event.payload["odd key"] == "y"`:                        `event.payload["odd key"] == "y" is false: event.payload["odd key"] is "x"`,
		`event.payload.labels[1].name == "y"`:                    `event.payload.labels[1].name == "y" is false: event.payload.labels[1].name is "ui"`,
		`event.payload.big == 9007199254740992`:                  `event.payload.big == 9007199254740992 is false: event.payload.big is 9007199254740993`,
		`event.payload.absent == 1 && event.payload.number == 8`: `event.payload.number == 8 is false: event.payload.number is 7`,
		`size(event.payload) == 0`:                               `size(event.payload) == 0 is false: event.payload is an object with 12 keys`,
		`false`:                                                  `false is false`,
	}
	for source, want := range cases {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			ok, reason, err := match(t, source)
			if ok || err != nil || reason != want {
				t.Errorf("%v %v\ngot  %s\nwant %s", ok, err, reason, want)
			}
		})
	}
}

func TestMatchReportsWhatItCannotDecide(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		`event.payload.absent == 1`:                            `event.payload.absent == 1: no such key: absent`,
		`event.payload.number == 7 && event.payload.a.b > 1`:   `event.payload.a.b > 1: no such key: a`,
		`event.payload.action > 1`:                             `event.payload.action > 1: no such overload`,
		`event.payload.number`:                                 `event.payload.number: must be true or false, not int`,
		`event.payload.number.startsWith("x")`:                 `event.payload.number.startsWith("x"): no such overload`,
		`event.payload.number / 0 == 1`:                        `event.payload.number / 0 == 1: division by zero`,
		`event.payload.text.matches(event.payload.text + "(")`: `event.payload.text.matches(event.payload.text + "("): error parsing regexp`,
		`"a".substring(5) == ""`:                               `"a".substring(5) == "": position is outside the text`,
		`event.payload.huge > 1`:                               `no such overload`,
	}
	for source, want := range cases {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			ok, _, err := match(t, source)
			if ok || !errors.Is(err, ErrEvaluation) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ngot  %v\nwant %s", ok, err, want)
			}
		})
	}
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		``:                                  `1:1: `,
		`event.payload.x ==`:                `1:19: `,
		"event.payload.x == 1 &&\n  evnt.a": `2:3: undeclared reference to 'evnt'`,
		`event.paylod.x == 1`:               `1:6: an event has no field "paylod"`,
		`"a".matches("(")`:                  "1:13: error parsing regexp: missing closing ): `(`",
		`1 + 1`:                             `1:1: must be true or false, not int`,
		`"a" + 1 == 2`:                      `1:5: found no matching overload for '_+_'`,
		`params.x == 1`:                     `1:1: undeclared reference to 'params'`,
		`event.id == 'a' && open("/etc")`:   `undeclared reference to 'open'`,
		strings.Repeat("(", 5000):           `expression`,
		strings.Repeat("a", 20000):          `expression`,
		`[` + strings.Repeat("[", 300):      `expression`,
	}
	for source, want := range cases {
		t.Run(clip(source, 40), func(t *testing.T) {
			t.Parallel()
			_, err := NewCriteria(source)
			var ms Mistakes
			if !errors.As(err, &ms) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// TestNothingRunsForLong evaluates expressions that would take seconds or gigabytes.
func TestNothingRunsForLong(t *testing.T) {
	t.Parallel()
	numbers := make([]any, 1000)
	for i := range numbers {
		numbers[i] = json.Number("1")
	}
	ev := map[string]any{"payload": map[string]any{"list": numbers, "big": strings.Repeat("a", 1<<20)}}
	for _, source := range []string{
		`event.payload.list.all(a, event.payload.list.all(b, event.payload.list.all(c, a + b + c > 0)))`,
		`event.payload.big.replace("a", event.payload.big) != ""`,
		`event.payload.big.split("") != []`,
		`event.payload.list.map(x, event.payload.big).join("") != ""`,
		`event.payload.list.all(x, event.payload.big.replace("a", "b") != "")`,
		`event.payload.list.all(x, event.payload.big.matches("(a*)*b"))`,
		`event.payload.big.matches("(x{0,900}y{0,100}a?)*$")`,
		`optional.of("aaaaaaaaaaaaaaaa")` + strings.Repeat(`.optMap(x, x + x)`, 18) + `.hasValue()`,
		`event.payload.list.all(x, event.payload == event.payload)`,
	} {
		t.Run(clip(source, 60), func(t *testing.T) {
			t.Parallel()
			c, err := NewCriteria(source)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			ok, err := c.Match(context.Background(), ev)
			if took := time.Since(start); took > patience {
				t.Errorf("took %s", took)
			}
			t.Log(ok, err, time.Since(start))
			if err != nil && !errors.Is(err, ErrLimit) {
				t.Error(err)
			}
		})
	}
}

func render(t testing.TB, v any) (any, error) {
	t.Helper()
	tmpl, err := NewTemplate(v)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl.Render(context.Background(), map[string]any{"event": event(t)})
}

func TestRender(t *testing.T) {
	t.Parallel()
	got, err := render(t, map[string]any{
		"plain":    "no expression",
		"fixed":    []any{json.Number("1"), nil, true},
		"number":   "${{ event.payload.number }}",
		"big":      "${{event.payload.big}}",
		"huge":     "${{ event.payload.huge }}",
		"ratio":    "${{ event.payload.ratio }}",
		"list":     []any{"${{ event.payload.labels }}", "x"},
		"map":      `${{ {"a": {"b": "}}"}} }}`,
		"text":     "#${{ event.payload.number }}: ${{ event.payload.action }}!",
		"in text":  "${{ event.payload.labels[0] }} ${{ event.payload.none }} ${{ event.payload.big }} ${{ true }}",
		"newline":  "${{ event.payload.number }}\n",
		"brace":    "${{ event.payload.number }} }}",
		"literal":  `${{ "${{" }}`,
		"time":     "${{ event.time }}",
		"duration": "${{ event.time - timestamp('2026-11-23T11:58:30Z') }}",
		"optional": "${{ event.payload.?absent }}",
		"not ours": "$PATH ${HOME} {{ x }}",
		"unicode":  "ü${{ event.payload.text }}ß",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"plain":    "no expression",
		"fixed":    []any{json.Number("1"), nil, true},
		"number":   json.Number("7"),
		"big":      json.Number("9007199254740993"),
		"huge":     json.Number("340282366920938463463374607431768211456"),
		"ratio":    json.Number("1.5"),
		"list":     []any{[]any{map[string]any{"name": "bug"}, map[string]any{"name": "ui"}}, "x"},
		"map":      map[string]any{"a": map[string]any{"b": "}}"}},
		"text":     "#7: opened!",
		"in text":  `{"name":"bug"}  9007199254740993 true`,
		"newline":  json.Number("7"),
		"brace":    "7 }}",
		"literal":  "${{",
		"time":     "2026-11-23T12:00:00Z",
		"duration": "90s",
		"optional": nil,
		"not ours": "$PATH ${HOME} {{ x }}",
		"unicode":  "üGröße: 10ß",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRenderOfNothing(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, map[string]any(nil), map[string]any{}} {
		got, err := render(t, v)
		if err != nil || !cmp.Equal(got, v) {
			t.Errorf("%#v %v", got, err)
		}
	}
}

func TestRenderErrorsNameTheParameter(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		in   any
		want string
	}{
		"missing":  {map[string]any{"a": []any{"x", "${{ event.payload.absent }}"}}, "a: 1: event.payload.absent: no such key: absent"},
		"infinite": {"${{ 1.0 / 0.0 }}", "not a number that JSON knows"},
		"a type":   {"${{ type(1) }}", "cannot be passed on"},
		"map keys": {"${{ {1: 2} }}", "the key 1 is not text"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t, c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestRenderIsBounded(t *testing.T) {
	t.Parallel()
	nest := func(list string, n int) string {
		return "${{ " + strings.Repeat(list+".map(x, ", n) + "event.payload" + strings.Repeat(")", n) + " }}"
	}
	for _, source := range []string{nest("event.payload.labels", 13), nest("[event, event, event]", 9)} {
		if _, err := render(t, []any{source}); !errors.Is(err, ErrLimit) {
			t.Error(err)
		}
	}
}

func TestTemplateReportsEveryMistakeWithItsPlace(t *testing.T) {
	t.Parallel()
	_, err := NewTemplate(map[string]any{
		"a": "é ${{ event.x }}",
		"b": []any{"ok", map[string]any{"c": "one\n two ${{ evnt }}"}},
		"d": "${{ event.payload",
		"e": "${{ }}",
	})
	var ms Mistakes
	if !errors.As(err, &ms) {
		t.Fatal(err)
	}
	want := []string{
		`a: 1:12: an event has no field "x"; it has [id trigger time source payload]`,
		`b.1.c: 2:10: undeclared reference to 'evnt' (did you mean 'event'?)`,
		`d: 1:1: ${{ without its closing }}`,
	}
	for i, w := range want {
		if ms[i].String() != w {
			t.Errorf("got  %s\nwant %s", ms[i], w)
		}
	}
	if len(ms) != 4 || ms[3].Path != "e" {
		t.Error(ms)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	params := map[string]any{"repo": "a/b", "n": json.Number("9007199254740993"), "ok": true, "l": []any{}, "long": strings.Repeat("x", maxKey), "wild": "a.b.*.> c\x00\n\u00e9"}
	for source, want := range map[string]string{
		`params.repo`:                          "a/b",
		`params.repo + ":" + string(params.n)`: "a/b:9007199254740993",
		`params.n`:                             "9007199254740993",
		`params.ok`:                            "true",
		`params.long`:                          strings.Repeat("x", maxKey),
		`params.wild`:                          "a.b.*.> c\x00\n\u00e9",
	} {
		if got, err := key(t, source, params); got != want || err != nil {
			t.Errorf("%s: got %q %v", source, got, err)
		}
	}
	for source, want := range map[string]string{
		`params.none`:       "params.none: no such key: none",
		`params.l`:          "params.l: a key must be text, not list",
		`params.long + "x"`: `params.long + "x": key is too large: more than 16384 bytes`,
	} {
		if _, err := key(t, source, params); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", source, err)
		}
	}
	if _, err := NewKey("event.id"); err == nil {
		t.Error("a key has no event")
	}
	if _, err := NewEventKey("params.id"); err == nil {
		t.Error("a key of an event has no parameters")
	}
	k, err := NewEventKey("event.payload.host + event.id")
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Eval(t.Context(), map[string]any{"id": "1", "payload": map[string]any{"host": "web"}})
	if got != "web1" || err != nil {
		t.Errorf("key of an event: %q %v", got, err)
	}
}

func key(t *testing.T, source string, params map[string]any) (string, error) {
	t.Helper()
	k, err := NewKey(source)
	if err != nil {
		t.Fatal(err)
	}
	return k.Eval(context.Background(), params)
}

// FuzzCriteria checks that no expression panics, runs for long, or matches with a reason.
func FuzzCriteria(f *testing.F) {
	for _, s := range []string{
		`event.payload.action == "opened" && !has(event.payload.x)`, `event.payload.labels.exists(l, l.name == "bug")`,
		`event.payload.text.replace("a", "b").split(",")[0] == ""`, `[1,2].map(x, x * 2).all(y, y in event.payload.list)`,
		`event.payload.?a.?b.orValue(1) == 1 || event.payload[?"x"].hasValue()`, `{"a": b"x"}.a == bytes(event.payload.text)`,
	} {
		f.Add(s)
	}
	ev := event(f)
	f.Fuzz(func(t *testing.T, source string) {
		c, err := NewCriteria(source)
		if err != nil {
			return
		}
		start := time.Now()
		ok, err := c.Match(context.Background(), ev)
		if took := time.Since(start); took > patience {
			t.Errorf("took %s", took)
		}
		if reason := c.Explain(context.Background(), ev); ok == (reason != "" || err != nil) {
			t.Errorf("%v %q %v", ok, reason, err)
		}
	})
}

// FuzzTemplate checks that no text panics, and that fixed text stays as it is.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"${{ event.id }}", "a ${{ 'x}}' }} b", "${{ {'a':{}} }}", "${{", "}} ${", `${{ r"\" }}`, "${{ '''}}''' }}"} {
		f.Add(s)
	}
	ev := event(f)
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := NewTemplate(source)
		if err != nil {
			return
		}
		got, err := tmpl.Render(context.Background(), map[string]any{"event": ev})
		if !strings.Contains(source, opening) && (err != nil || got != source) {
			t.Errorf("got %v %v", got, err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	c, err := NewCriteria(`event.payload.action == "opened" && event.payload.labels.exists(l, l.name == "bug")`)
	if err != nil {
		b.Fatal(err)
	}
	ev := event(b)
	for b.Loop() {
		if ok, err := c.Match(context.Background(), ev); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewCriteria(b *testing.B) {
	for b.Loop() {
		if _, err := NewCriteria(`event.payload.action == "opened" && event.payload.labels.exists(l, l.name == "bug")`); err != nil {
			b.Fatal(err)
		}
	}
}
