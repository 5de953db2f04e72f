package attunetest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
)

// run is an execution and how it is to end.
type run struct {
	id, action, mode string
	note, password   string
}

// runAll runs every action in every mode, by the API with a sealed secret and by a rule, and returns when all have ended.
func (h *hunt) runAll(actions []string) []run {
	h.t.Helper()
	var runs []run
	for _, action := range actions {
		for mode := range canaryModes {
			if action == "container" && mode != "print" && mode != "fail" {
				continue // how it ends is its engine's
			}
			parameters := map[string]any{"mode": mode, "password": h.values["sealed"], "note": map[string]string{"$secret": "CANARY_RULE"}}
			raw, err := json.Marshal(parameters)
			if err != nil {
				h.t.Fatal(err)
			}
			ref := "canary." + action
			if mode == "timeout" {
				ref += "-late"
			}
			done, err := h.c.Run(h.t.Context(), api.ExecutionRequest{Action: ref, Parameters: raw}, action+mode)
			if err != nil {
				h.t.Fatal(err)
			}
			runs = append(runs, run{id: done.ID, action: action, mode: mode, note: h.values["CANARY_RULE"], password: h.values["sealed"]})
		}
	}
	for _, mode := range []string{"ok", "print", "fail", "crash"} {
		id := h.ruled(mode)
		runs = append(runs, run{id: id, action: "shell", mode: mode, note: "Bearer " + h.values["CANARY_RULE"], password: h.values["CANARY_RULE"]})
	}
	for _, r := range runs {
		e, err := h.c.Wait(h.t.Context(), r.id, func(api.Execution) error { return nil })
		if err != nil || e.Status != canaryModes[r.mode] {
			h.t.Errorf("%s %s: %s %+v, %v", r.action, r.mode, e.Status, e.Error, err)
		}
	}
	return runs
}

// ruled publishes an event and gives the execution that the rule makes of it.
func (h *hunt) ruled(mode string) string {
	h.t.Helper()
	event, err := h.c.Publish(h.t.Context(), api.EventRequest{Trigger: "canary.seen", Payload: json.RawMessage(`{"mode":"` + mode + `"}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		e, err := h.c.Event(h.t.Context(), event.ID)
		if err == nil && len(e.Decisions) == 1 && e.Decisions[0].Execution != "" {
			return e.Decisions[0].Execution
		}
		select {
		case <-deadline:
			h.t.Fatalf("event %s: %+v, %v", event.ID, e, err)
		case <-tick.C:
		}
	}
}

// prove reads the digests with which programs say that they were given the very values.
func (h *hunt) prove(runs []run) {
	h.t.Helper()
	for _, r := range runs {
		values := []string{h.values["CANARY_DECLARED"], r.password, r.note, h.values["CANARY_CONFIG"]}
		want := "proof"
		for _, v := range values {
			if r.action != "shell" || v != h.values["CANARY_CONFIG"] { // a shell's variables are parameters and secrets only
				want += fmt.Sprintf(" %x", sha256.Sum256([]byte(v)))
			}
		}
		var out bytes.Buffer
		_, err := h.c.Logs(h.t.Context(), client.Log{Execution: r.id, Stream: "stdout"}, &out)
		line, rest, _ := strings.Cut(out.String(), "\n")
		if r.action == "container" {
			want = line[:min(len(line), len("proof "))]
			line = "proof "[:min(len("proof "), len(line))]
		}
		if late := r.mode == "timeout" && line == ""; err != nil || line != want && !late { // one may end before it begins
			h.t.Errorf("%s %s was not given the secrets: %q, %v\nwant %q", r.action, r.mode, line, err, want)
		}
		if r.mode == "print" && !strings.Contains(rest, "***") {
			h.t.Errorf("%s printed nothing that was masked: %q", r.action, rest)
		}
	}
}
