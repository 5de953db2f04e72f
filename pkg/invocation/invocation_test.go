package invocation_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
)

func compile(t *testing.T, spec pack.Action) *invocation.Action {
	t.Helper()
	spec.Name = "deploy"
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
