package client_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

// TestTheLogOfASensorIsFollowedOverABreakAndAStart has the connection break in the first of two starts.
func TestTheLogOfASensorIsFollowedOverABreakAndAStart(t *testing.T) {
	t.Parallel()
	record := func(id, text string) string {
		return "id: " + id + "\nevent: log\ndata: {\"stream\":\"stderr\",\"text\":\"" + text + "\"}\n\n"
	}
	const end = "event: end\ndata: {}\n\n"
	type asked struct{ query, last string }
	answers := map[asked]struct{ log, text string }{
		{"follow=true&grep=E&tail=9", ""}:        {"1", record("a", "one")},
		{"follow=true&grep=E&log=1&tail=9", "a"}: {"1", record("b", "two") + end},
		{"follow=true&grep=E&log=2", ""}:         {"2", record("c", "three")},
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/logs") {
			replyJSON(w, api.Sensor{Ref: "a.b", Log: "2", Logs: []string{"1"}})
			return
		}
		answer, known := answers[asked{r.URL.Query().Encode(), r.Header.Get(api.HeaderLastEventID)}]
		if !known {
			t.Errorf("asked for %s behind %q", r.URL.RawQuery, r.Header.Get(api.HeaderLastEventID))
		}
		w.Header().Set(api.HeaderLog, answer.log)
		feed(t, w, answer.text)
	})
	var got []string
	err := c.SensorLog(t.Context(), client.SensorLog{Sensor: "a.b", Grep: "E", Tail: 9, Follow: true}, func(r api.LogRecord) error {
		if got = append(got, r.Text); r.Text == "three" {
			return client.ErrStop
		}
		return nil
	})
	if diff := cmp.Diff([]string{"one", "two", "three"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}
