package client_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func TestLinesOfALogAreResumedBehindTheLastOne(t *testing.T) {
	t.Parallel()
	record := func(id, stream, text string) string {
		return fmt.Sprintf("id: %s\nevent: log\ndata: {\"stream\":%q,\"offset\":0,\"text\":%q}\n\n", id, stream, text)
	}
	answers := map[string]string{ // by Last-Event-ID
		"":                  ": still here\nid: stdout:0,stderr:0\n\n",
		"stdout:0,stderr:0": record("stdout:4,stderr:0", "stdout", "one\n") + record("stdout:4,stderr:4", "stderr", "two\n") + ": still here\nid: stdout:9,stderr:4\n\n",
		"stdout:9,stderr:4": record("stdout:15,stderr:4", "stdout", "three\n") + "id: stdout:15,stderr:4\nevent: end\ndata: {}\n\n",
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query().Encode(); q != "follow=true&grep=o&since=2026-01-01T00%3A00%3A00Z&stdout=5&stream=stdout&tail=3" {
			t.Errorf("asked for %s", q)
		}
		feed(t, w, answers[r.Header.Get("Last-Event-ID")])
	})
	var got strings.Builder
	err := c.LogLines(t.Context(), client.LogLines{
		Execution: "x", Stream: "stdout", Offset: 5, Tail: 3, Since: "2026-01-01T00:00:00Z", Grep: "o", Follow: true,
	}, func(r api.LogRecord) error {
		got.WriteString(r.Stream + " " + r.Text)
		return nil
	})
	if err != nil || got.String() != "stdout one\nstderr two\nstdout three\n" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}
