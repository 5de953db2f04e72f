package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
)

func TestSecretsAreSetListedAndDeletedButNeverShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const value = "correct horse battery staple"
	answers := []answer{
		f.call(http.MethodPut, "/api/v1/secrets/TOKEN", wire.SecretValue{Value: value}),
		f.post("/api/v1/secrets", wire.NamedSecret{Name: "OTHER", Value: value}),
		f.get("/api/v1/secrets"),
		f.call(http.MethodPut, "/api/v1/secrets/9lives", wire.SecretValue{Value: value}),
		f.post("/api/v1/secrets", `{"name":"A","value":"`+value+`","x":1}`),
		f.post("/api/v1/secrets", `{"name":"A","value":["`+value+`"]}`),
	}
	for _, a := range answers {
		if bytes.Contains(a.body, []byte(value)) || bytes.Contains(a.body, []byte("battery")) {
			t.Errorf("%s shows the value: %s", a.what, a.body)
		}
	}
	if got := want[wire.Secret](answers[0], http.StatusOK); got.Name != "TOKEN" || got.UpdatedAt.IsZero() {
		t.Errorf("set: %+v", got)
	}
	if all := want[wire.Page[wire.Secret]](answers[2], http.StatusOK).Items; len(all) != 2 || all[0].Name != "OTHER" {
		t.Errorf("secrets %+v", all)
	}
	answers[3].refused(http.StatusBadRequest, wire.CodeInvalidRequest, "name")
	answers[4].refused(http.StatusBadRequest, wire.CodeInvalidRequest, "x")
	answers[5].refused(http.StatusBadRequest, wire.CodeInvalidRequest, "value")
	f.call(http.MethodPut, "/api/v1/secrets/TOKEN", wire.SecretValue{}).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "value")
	f.call(http.MethodPut, "/api/v1/secrets/TOKEN", wire.SecretValue{Value: strings.Repeat("x", 65<<10)}).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "value")
	if got, err := f.secrets.Get(t.Context(), "TOKEN"); err != nil || string(got) != value {
		t.Errorf("kept %q, %v", got, err)
	}
	if a := f.call(http.MethodDelete, "/api/v1/secrets/TOKEN", nil); a.status != http.StatusNoContent || len(a.body) > 0 {
		t.Errorf("delete answered %d %s", a.status, a.body)
	}
	f.call(http.MethodDelete, "/api/v1/secrets/TOKEN", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}
