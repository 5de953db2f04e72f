package expression

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

// What is decided without CEL is what CEL decides, for every pair of a value and a constant.
func TestShortcutIsCELs(t *testing.T) {
	t.Parallel()
	values := map[string]any{
		"text": "web1", "empty": "", "yes": true, "no": false, "nothing": nil, "int": json.Number("5"), "minus": json.Number("-1"), "float": json.Number("5.0"),
		"half": json.Number("0.5"), "big": json.Number("9223372036854775808"), "huge": json.Number("1e400"), "list": []any{json.Number("5")}, "object": map[string]any{"a": json.Number("5")},
	}
	event := map[string]any{"id": "x", "payload": values}
	places := []string{"event.id", "event.payload.missing", "event.payload.text.deeper", "event.payload.list[0]", "event.payload.list[7]", "event.payload.object.a", `event["payload"]["int"]`}
	for name := range values {
		places = append(places, "event.payload."+name)
	}
	decided := 0
	for _, place := range places {
		for _, constant := range []string{`"web1"`, `"web"`, `"b1"`, `""`, "true", "false", "null", "5", "-1", "5.0", "0.5", "9223372036854775807", "5u", `b"web1"`} {
			for _, source := range []string{"%s == %s", "%s != %s", "%[2]s == %[1]s", "%s.startsWith(%s)", "%s.endsWith(%s)", "%s.contains(%s)"} {
				source = fmt.Sprintf(source, place, constant)
				c, err := NewCriteria(source)
				if err != nil {
					continue // the checker knows that it is never true
				}
				fits, known := c.parts[0].decide(event)
				if !known {
					continue
				}
				decided++
				want, err := c.parts[0].match(context.Background(), event)
				if err != nil || fits != want {
					t.Errorf("%s: %t, CEL says %t, %v", source, fits, want, err)
				}
			}
		}
	}
	if decided < 300 {
		t.Errorf("%d of the comparisons were decided", decided)
	}
}

func TestWhatIsNoShortcutIsCELs(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		"event.payload.a == event.payload.b", "event.payload.a > 5", "has(event.payload.a)", "has(event.payload.a) == true", "event.payload.?a == optional.of(5)",
		"event.payload[?'a'] == optional.none()", "size(event.payload.a) == 5", "[1, 2] == [1]", "event.payload.a.startsWith('x') == true",
		"event.payload.a.startsWith(event.payload.b)", "event.payload.?a.orValue('').startsWith('x')", "'x'.startsWith(event.payload.a)", "!event.payload.a.startsWith('x')", "event.payload.a.matches('x')",
	} {
		c, err := NewCriteria(source)
		if err != nil {
			t.Fatal(err)
		}
		if c.parts[0].quick != nil {
			t.Errorf("%s is taken for %+v", source, c.parts[0].quick)
		}
	}
}
