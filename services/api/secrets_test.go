package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
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
	if got, err := f.secrets.Get(t.Context(), secret.Global, "TOKEN"); err != nil || string(got) != value {
		t.Errorf("kept %q, %v", got, err)
	}
	if a := f.call(http.MethodDelete, "/api/v1/secrets/TOKEN", nil); a.status != http.StatusNoContent || len(a.body) > 0 {
		t.Errorf("delete answered %d %s", a.status, a.body)
	}
	f.call(http.MethodDelete, "/api/v1/secrets/TOKEN", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestSecretsOfPacksAndOfTheInstallationAreKeptApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, where := range []string{"", "?pack=demo", "?user=eve%40example.com"} {
		got := want[wire.Secret](f.call(http.MethodPut, "/api/v1/secrets/TOKEN"+where, wire.SecretValue{Value: "of " + where}), http.StatusOK)
		if got.Version != 1 {
			t.Errorf("%s: %+v", where, got)
		}
	}
	want[wire.Secret](f.post("/api/v1/secrets", wire.NamedSecret{Name: "OTHER", Pack: "far", Value: "x", TTL: "1h"}), http.StatusOK)
	for query, owners := range map[string]string{
		"": "global,pack:demo,pack:far,user:eve@example.com", "?pack=demo": "pack:demo", "?pack=far": "pack:far", "?user=eve%40example.com": "user:eve@example.com", "?pack=none": "",
	} {
		var got []string
		for _, s := range want[wire.Page[wire.Secret]](f.get("/api/v1/secrets"+query), http.StatusOK).Items {
			got = append(got, s.Owner)
			if expires := s.Name == "OTHER"; expires != (s.ExpiresAt != nil) || s.Expired {
				t.Errorf("%+v", s)
			}
		}
		if strings.Join(got, ",") != owners {
			t.Errorf("list%s: %q", query, got)
		}
	}
	inDemo := f.as("in-demo", "editor", within("demo"))
	if all := want[wire.Page[wire.Secret]](f.send(http.MethodGet, "/api/v1/secrets", nil, inDemo...), http.StatusOK).Items; len(all) != 1 || all[0].Owner != "pack:demo" {
		t.Errorf("who may see demo's sees %+v", all)
	}
	want[wire.Secret](f.send(http.MethodPut, "/api/v1/secrets/TOKEN?pack=demo", `{"value":"mine"}`, inDemo...), http.StatusOK)
	for _, where := range []string{"", "?pack=far", "?user=in-demo"} {
		f.send(http.MethodPut, "/api/v1/secrets/TOKEN"+where, `{"value":"mine"}`, inDemo...).refused(http.StatusForbidden, wire.CodeForbidden)
		f.send(http.MethodDelete, "/api/v1/secrets/OTHER"+where, nil, inDemo...).refused(http.StatusNotFound, wire.CodeNotFound)
	}
	if v, err := f.secrets.Get(t.Context(), secret.OfPack("demo"), "TOKEN"); err != nil || string(v) != "mine" {
		t.Errorf("demo's is %q, %v", v, err)
	}
	for query, field := range map[string]string{"?pack=demo&user=eve": "pack", "?pack=De%20mo": "pack", "?user=a%20b": "user"} {
		f.call(http.MethodPut, "/api/v1/secrets/TOKEN"+query, wire.SecretValue{Value: "x"}).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
	for _, ttl := range []string{"soon", "-1h", "0s", "1000000h"} {
		f.call(http.MethodPut, "/api/v1/secrets/TOKEN", wire.SecretValue{Value: "x", TTL: ttl}).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "ttl")
	}
}

func TestAnEarlierVersionOfASecretCanBeRestored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v1/secrets/TOKEN"
	for _, v := range []string{"first", "second", "third"} {
		want[wire.Secret](f.call(http.MethodPut, path+"?pack=demo", wire.SecretValue{Value: v}), http.StatusOK)
	}
	want[wire.Secret](f.post(path+"/rotate?pack=demo", nil), http.StatusOK)
	if got := want[wire.Secret](f.post(path+"/restore?pack=demo", wire.SecretRestore{Version: 1, TTL: "1h"}), http.StatusOK); got.Version != 4 || got.ExpiresAt == nil {
		t.Errorf("restored %+v", got)
	}
	if v, err := f.secrets.Get(t.Context(), secret.OfPack("demo"), "TOKEN"); err != nil || string(v) != "first" {
		t.Errorf("it is %q, %v", v, err)
	}
	a := f.get(path + "/versions?pack=demo")
	versions := want[wire.Page[wire.SecretVersion]](a, http.StatusOK).Items
	if len(versions) != 4 || versions[3].Version != 4 || !versions[3].Current || versions[0].Current || bytes.Contains(a.body, []byte("first")) {
		t.Errorf("versions %s", a.body)
	}
	f.post(path+"/restore?pack=demo", wire.SecretRestore{Version: 9}).refused(http.StatusNotFound, wire.CodeNotFound)
	f.post(path+"/restore", wire.SecretRestore{Version: 1}).refused(http.StatusNotFound, wire.CodeNotFound)
	f.get(path+"/versions").refused(http.StatusNotFound, wire.CodeNotFound)
	f.post(path+"/rotate", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestTheKeyOfSecretsIsChangedWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want[wire.Secret](f.call(http.MethodPut, "/api/v1/secrets/TOKEN", wire.SecretValue{Value: "x"}), http.StatusOK)
	first := want[wire.SecretKeys](f.get("/api/v1/secret-keys"), http.StatusOK)
	if len(first.Keys) != 1 || first.Keys[0].Wraps != 1 || !first.Keys[0].Here || first.Left != 0 {
		t.Errorf("keys %+v", first)
	}
	f.post("/api/v1/secret-keys/change", wire.KeyChange{To: first.Keys[0].ID}).refused(http.StatusConflict, wire.CodeConflict)
	f.post("/api/v1/secret-keys/change", wire.KeyChange{To: "nothing"}).refused(http.StatusConflict, wire.CodeConflict)
	want[wire.SecretKeys](f.post("/api/v1/secret-keys/change", nil), http.StatusOK)
	want[wire.SecretKeys](f.post("/api/v1/secret-keys/rotate", nil), http.StatusOK)
	var now wire.SecretKeys
	f.eventually("the old key is retired", func() bool {
		now = want[wire.SecretKeys](f.get("/api/v1/secret-keys"), http.StatusOK)
		return len(now.Keys) == 2 && now.Keys[1].State == "retired" && now.Left == 0
	})
	if now.Keys[0].ID == first.Keys[0].ID || now.Keys[1].ID != first.Keys[0].ID || now.Keys[0].Wraps != 1 {
		t.Errorf("keys %+v", now)
	}
	if v, err := f.secrets.Get(t.Context(), secret.Global, "TOKEN"); err != nil || string(v) != "x" {
		t.Errorf("it is %q, %v", v, err)
	}
}
