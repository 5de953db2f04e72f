package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

const canary = "s3cr3t-canary-77"

// guarded is a pack with an action and a configuration that have secrets.
func guarded() pack.Pack {
	return pack.Pack{
		Name: "guarded", Version: "1.0.0",
		Config: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{"token":{"type":"string","secret":true},"url":{"type":"string"}}}`),
		Actions: []pack.Action{{
			Name: "login", Runtime: "shell", EntryPoint: "login.sh", Concurrency: pack.Concurrency{Limit: 1},
			Parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{"user":{"type":"string"},
				"password":{"type":"string","minLength":4,"secret":true},"pins":{"type":"array","items":{"type":"integer","secret":true}}}}`),
		}},
	}
}

func login(parameters string) string {
	return `{"action":"guarded.login","parameters":` + parameters + `}`
}

func TestSecretParametersAreSealedBeforeAnybodySeesThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(guarded())
	f.withRecorder()
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/actions/guarded.login").status == http.StatusOK })
	body := login(`{"user":"me","password":"` + canary + `","pins":[90071992547409931,4711]}`)
	done := want[wire.ExecutionAccepted](f.post("/api/v1/executions", body, "Idempotency-Key", "k"), http.StatusAccepted)
	shown := f.get("/api/v1/executions/" + done.ID)
	const marked = `{"password":{"$secret":"execution/password"},"pins":[{"$secret":"execution/pins/0"},{"$secret":"execution/pins/1"}],"user":"me"}`
	if e := want[wire.Execution](shown, http.StatusOK); string(e.Parameters) != marked {
		t.Errorf("parameters %s", e.Parameters)
	}
	values, err := f.secrets.Values(t.Context(), []secret.Owner{secret.OfExecution(done.ID)}, []string{"password", "pins/0", "pins/1"})
	if err != nil || string(values["password"]) != `"`+canary+`"` || string(values["pins/0"]) != "90071992547409931" {
		t.Errorf("sealed are %q, %v", values, err)
	}
	again := want[wire.ExecutionAccepted](f.post("/api/v1/executions", body, "Idempotency-Key", "k"), http.StatusAccepted)
	if again.ID != done.ID {
		t.Errorf("repeated it is %s, not %s", again.ID, done.ID)
	}
	for _, other := range []string{`{"user":"me","password":"another","pins":[90071992547409931,4711]}`, `{"user":"me","password":"` + canary + `","pins":[90071992547409931,4712]}`} {
		f.post("/api/v1/executions", login(other), "Idempotency-Key", "k").refused(http.StatusConflict, wire.CodeConflict)
	}
	f.eventually("history has it", func() bool { return f.historyHas(done.ID) })
	for what, text := range map[string][]byte{"the answer": shown.body, "the bus": f.everyMessage(), "history": f.rows("executions"), "secrets": f.rows("secret_versions")} {
		if len(text) == 0 || bytes.Contains(text, []byte(canary)) || bytes.Contains(text, []byte("90071992547409931")) {
			t.Errorf("%s: %s", what, text)
		}
	}
	f.move(done.ID, streams.Running, streams.Succeeded)
	f.eventually("history has its end", func() bool { return bytes.Contains(f.rows("executions"), []byte("succeeded")) })
	f.post("/api/v1/executions", login(`{"user":"me","password":"another","pins":[90071992547409931,4711]}`), "Idempotency-Key", "k").refused(http.StatusConflict, wire.CodeConflict)
	if replay := f.post("/api/v1/executions", body, "Idempotency-Key", "k"); want[wire.ExecutionAccepted](replay, http.StatusAccepted).ID != done.ID {
		t.Errorf("long after: %s", replay.body)
	}
}

func (f *fixture) historyHas(id string) bool {
	f.t.Helper()
	return bytes.Contains(f.rows("executions"), []byte(id))
}

// rows gives a table as text.
func (f *fixture) rows(table string) []byte {
	f.t.Helper()
	var text string
	if err := f.db.QueryRow(f.t.Context(), fmt.Sprintf("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM %s t", table)).Scan(&text); err != nil {
		f.t.Fatal(err)
	}
	return []byte(text)
}

// everyMessage gives what all streams hold.
func (f *fixture) everyMessage() []byte {
	f.t.Helper()
	var all bytes.Buffer
	names := f.bus.JS.StreamNames(f.t.Context())
	for name := range names.Name() {
		s, err := f.bus.JS.Stream(f.t.Context(), name)
		if err != nil {
			f.t.Fatal(err)
		}
		for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq && seq > 0; seq++ {
			if m, err := s.GetMsg(f.t.Context(), seq); err == nil {
				fmt.Fprintf(&all, "%s %v %s\n", m.Subject, m.Header, m.Data)
			}
		}
	}
	if names.Err() != nil {
		f.t.Fatal(names.Err())
	}
	return all.Bytes()
}

func TestReferencesToSecretsAreForThoseWhoMayUseThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(guarded())
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/actions/guarded.login").status == http.StatusOK })
	if _, err := f.secrets.Put(t.Context(), secret.OfPack("guarded"), "DB", []byte(canary), 0); err != nil {
		t.Fatal(err)
	}
	done := want[wire.ExecutionAccepted](f.post("/api/v1/executions", login(`{"password":{"$secret":"DB"},"user":{"$secret_text":["u-",{"$secret":"DB"}]}}`)), http.StatusAccepted)
	e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
	if string(e.Parameters) != `{"password":{"$secret":"DB"},"user":{"$secret_text":["u-",{"$secret":"DB"}]}}` {
		t.Errorf("parameters %s", e.Parameters)
	}
	for name, c := range map[string]struct{ parameters, field string }{
		"unknown":                    {`{"password":{"$secret":"NOPE"}}`, "parameters.password"},
		"of a user, by no user":      {`{"password":{"$secret":"user/DB"}}`, "parameters.password"},
		"a sealed value":             {`{"password":{"$secret":"execution/password"}}`, "parameters.password"},
		"a sealed value not its own": {`{"user":{"$secret":"execution/password"}}`, "parameters.user"},
		"with more keys":             {`{"password":{"$secret":"DB","x":1}}`, "parameters.password"},
		"of both kinds":              {`{"password":{"$secret":"DB","$secret_text":["x"]}}`, "parameters.password"},
		"deep down":                  {`{"pins":[1,{"$secret":7}]}`, "parameters.pins.1"},
		"a text of sealed values":    {`{"user":{"$secret_text":[{"$secret":"execution/password"}]}}`, "parameters.user"},
		"where no text may be":       {`{"pins":[{"$secret":"DB"}]}`, "parameters.pins.0"},
		"a value that does not fit":  {`{"password":"abc"}`, "parameters.password"},
	} {
		a := f.post("/api/v1/executions", login(c.parameters))
		a.refused(http.StatusBadRequest, wire.CodeInvalidParameters, c.field)
		if bytes.Contains(a.body, []byte("abc")) {
			t.Errorf("%s: shows the value: %s", name, a.body)
		}
	}
	f.post("/api/v1/executions", login(`{"password":"`+strings.Repeat("x", secret.MaxValue)+`"}`)).refused(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "parameters.password")
}

func TestRetryHasTheSameSecretsAsLongAsTheyAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(guarded())
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/actions/guarded.login").status == http.StatusOK })
	first := want[wire.ExecutionAccepted](f.post("/api/v1/executions", login(`{"password":"`+canary+`"}`)), http.StatusAccepted).ID
	f.move(first, streams.Running, streams.Failed)
	again := want[wire.ExecutionAccepted](f.post("/api/v1/executions/"+first+"/retry", nil), http.StatusAccepted).ID
	if got, err := f.secrets.Get(t.Context(), secret.OfExecution(again), "password"); err != nil || string(got) != `"`+canary+`"` {
		t.Errorf("sealed for the retry: %q, %v", got, err)
	}
	if err := f.secrets.DeleteOwner(t.Context(), secret.OfExecution(first)); err != nil {
		t.Fatal(err)
	}
	f.post("/api/v1/executions/"+first+"/retry", nil).refused(http.StatusConflict, wire.CodeSecretsGone)
}

func TestAConfigurationRefersToSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(guarded())
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/packs/guarded").status == http.StatusOK })
	if _, err := f.secrets.Put(t.Context(), secret.Global, "DB", []byte(canary), 0); err != nil {
		t.Fatal(err)
	}
	set := func(config string) answer {
		return f.call(http.MethodPut, "/api/v1/packs/guarded/config", `{"config":`+config+`}`)
	}
	const config = `{"token":{"$secret":"DB"},"url":{"$secret_text":["https://x/",{"$secret":"DB"}]}}`
	got := want[wire.PackConfig](set(config), http.StatusOK)
	if string(compact(t, got.Config)) != config {
		t.Errorf("shown is %s", got.Config)
	}
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketConfigs)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(t.Context(), "guarded"); err != nil || string(compact(t, e.Value())) != config {
		t.Errorf("distributed is %v, %v", e, err)
	}
	for bad, field := range map[string]string{
		`{"token":"` + canary + `"}`:              "config.token",
		`{"token":{"$secret":"NOPE"}}`:            "config.token",
		`{"token":{"$secret":"user/DB"}}`:         "config.token",
		`{"token":{"$secret":"execution/token"}}`: "config.token",
		`{"url":{"$secret":"DB","x":1}}`:          "config.url",
	} {
		a := set(bad)
		a.refused(a.status, wire.CodeInvalidConfig, field)
		if a.status != http.StatusBadRequest || bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
}

func compact(t *testing.T, doc []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
