package invocation_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/streams"
)

func compile(t *testing.T, spec pack.Action) *invocation.Action {
	t.Helper()
	spec.Name, spec.Runtime = "deploy", "shell"
	a, err := invocation.Compile(definitions.Action{Spec: spec, Pack: "web", Digest: "d"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var deploy = pack.Action{
	Parameters: json.RawMessage(`{"type":"object","required":["host"],"additionalProperties":false,
		"properties":{"host":{"type":"string"},"n":{"type":"integer","default":9007199254740993},"note":{"type":"string"}}}`),
	Concurrency: pack.Concurrency{Limit: 2, Key: `params.host + "/" + params.note`},
}

func TestARequestHasDefaultsKeyLimitAndPool(t *testing.T) {
	t.Parallel()
	r, err := compile(t, deploy).Request(t.Context(), map[string]any{"host": "web1", "note": "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := execution.Request{
		Action: "web.deploy", PackDigest: "d", Parameters: json.RawMessage(`{"host":"web1","n":9007199254740993,"note":"x"}`),
		Key: "web1/x", Limit: 2, Pool: pack.DefaultPool,
	}
	if string(r.Parameters) != string(want.Parameters) || r.Key != want.Key || r.Limit != want.Limit || r.Pool != want.Pool || r.Action != want.Action || r.PackDigest != want.PackDigest {
		t.Errorf("requested %+v with %s", r, r.Parameters)
	}
}

func TestARequestSaysWhenItMayStartAndWhenItIsRepeated(t *testing.T) {
	t.Parallel()
	spec := pack.Action{
		Name: "deploy", Concurrency: pack.Concurrency{Limit: 1, OnFull: pack.OnFullReject}, QueueTimeout: pack.Duration(90 * time.Second),
		Rate: pack.Rate{Count: 10, Period: time.Minute, Burst: 1}, Retry: &pack.Retry{Attempts: 3, Delay: pack.Duration(time.Second)},
	}
	a, err := invocation.Compile(definitions.Action{Spec: spec, Pack: "web", Digest: "d", PackLimit: 7})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Request(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := streams.Admission{PackLimit: 7, Rate: "10/m burst 1", QueueTimeoutSeconds: 90, Reject: true}
	if r.Admission != want {
		t.Errorf("requested %+v, want %+v", r.Admission, want)
	}
	if r.Retry == nil || r.Retry.Attempts != 3 || r.Retry.DelaySeconds != 1 {
		t.Errorf("requested with %+v", r.Retry)
	}
	plain, err := compile(t, pack.Action{}).Request(t.Context(), nil)
	if err != nil || plain.Admission != (streams.Admission{}) || plain.Retry != nil {
		t.Errorf("an action that says nothing is requested with %+v, %+v, %v", plain.Admission, plain.Retry, err)
	}
}

// A key is any text of up to 16 KiB, and arrives as it was given.
func TestAKeyIsTakenAsGiven(t *testing.T) {
	t.Parallel()
	a := compile(t, pack.Action{Concurrency: pack.Concurrency{Limit: 1, Key: "params.key"}})
	for name, key := range map[string]string{
		"10 kB": strings.Repeat("0123456789", 1000), "16 KiB": strings.Repeat("x", 16<<10), "subject": "a.*.b.>", "nothing": "",
		"text": "zwei Wörter\n\x00", "token": streams.NoKey,
	} {
		r, err := a.Request(t.Context(), map[string]any{"key": key})
		if err != nil || r.Key != key {
			t.Errorf("%s: key of %d bytes is %.40q of %d, %v", name, len(key), r.Key, len(r.Key), err)
		}
	}
	_, err := a.Request(t.Context(), map[string]any{"key": strings.Repeat("x", 16<<10+1)})
	if !errors.Is(err, invocation.ErrKey) || !strings.Contains(err.Error(), "params.key") {
		t.Errorf("a longer key: %v, want ErrKey naming the expression", err)
	}
}

func TestEveryParameterThatDoesNotFitIsNamed(t *testing.T) {
	t.Parallel()
	_, err := compile(t, deploy).Request(t.Context(), map[string]any{"n": "x", "other": 1})
	var faults schema.Faults
	if !errors.As(err, &faults) || len(faults) < 3 {
		t.Fatalf("request: %v, want three faults", err)
	}
	for _, name := range []string{"host", "n", "other"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

// Parameters without a key of their own do not fall into a shared queue.
func TestAKeyThatCannotBeComputedRefusesTheRequest(t *testing.T) {
	t.Parallel()
	_, err := compile(t, deploy).Request(t.Context(), map[string]any{"host": "web1"})
	if !errors.Is(err, invocation.ErrKey) || !strings.Contains(err.Error(), deploy.Concurrency.Key) {
		t.Errorf("request: %v, want ErrKey naming the expression", err)
	}
}

func TestParametersAreBounded(t *testing.T) {
	t.Parallel()
	_, err := compile(t, pack.Action{}).Request(t.Context(), map[string]any{"x": strings.Repeat("a", execution.MaxParameters)})
	if !errors.Is(err, invocation.ErrTooLarge) {
		t.Errorf("request: %v, want ErrTooLarge", err)
	}
}

func TestAnActionWithoutSchemaTakesAnything(t *testing.T) {
	t.Parallel()
	r, err := compile(t, pack.Action{Pool: "gpu"}).Request(t.Context(), nil)
	if err != nil || string(r.Parameters) != "{}" || r.Pool != "gpu" || r.Key != "" {
		t.Errorf("requested %+v, %v", r, err)
	}
}

func TestWhatAnActionAsksOfItsRunnerStandsForThePool(t *testing.T) {
	t.Parallel()
	d := definitions.Action{Spec: pack.Action{Name: "deploy", Runtime: "python", Pool: "big"}, Pack: "web", Digest: "d", Ranges: map[string]string{"python": ">=3.9"}}
	a, err := invocation.Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Request(t.Context(), nil)
	if err != nil || r.Pool != placement.Token(a.Placement()) || placement.Pool(r.Pool) != "big" || r.Pool == "big" {
		t.Errorf("requested of %s, %v", r.Pool, err)
	}
}
