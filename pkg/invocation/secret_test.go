package invocation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
)

const secretSchema = `{"type":"object","additionalProperties":false,"properties":{
	"user":{"type":"string"},"n":{"type":"integer"},"url":{"type":"string","format":"uri"},
	"password":{"type":"string","minLength":4,"secret":true},
	"pin":{"type":"integer","secret":true},
	"login":{"type":"object","secret":true},
	"hosts":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"token":{"type":["string","null"],"secret":true}}}}}}`

func secretive(t *testing.T) *invocation.Action {
	t.Helper()
	a, err := invocation.Compile(definitions.Action{Pack: "demo", Digest: "d", Spec: pack.Action{Name: "x", Parameters: json.RawMessage(secretSchema)}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := strictjson.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSplitTakesSecretsOutAndRequestHasOnlyMarkers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given, want string
		values      map[marker.Ref]string
	}{
		"nothing secret": {`{"user":"me"}`, `{"user":"me"}`, nil},
		"a text":         {`{"user":"me","password":"hunter2"}`, `{"password":{"$secret":"execution/password"},"user":"me"}`, map[marker.Ref]string{"execution/password": `"hunter2"`}},
		"an exact number": {
			`{"pin":9007199254740993}`, `{"pin":{"$secret":"execution/pin"}}`,
			map[marker.Ref]string{"execution/pin": `9007199254740993`},
		},
		"an object as a whole": {
			`{"login":{"user":"me","password":"x"}}`, `{"login":{"$secret":"execution/login"}}`,
			map[marker.Ref]string{"execution/login": `{"password":"x","user":"me"}`},
		},
		"in a list": {
			`{"hosts":[{"name":"a","token":"t0"},{"name":"b","token":null},{"token":"t2"}]}`,
			`{"hosts":[{"name":"a","token":{"$secret":"execution/hosts/0/token"}},{"name":"b","token":null},{"token":{"$secret":"execution/hosts/2/token"}}]}`,
			map[marker.Ref]string{"execution/hosts/0/token": `"t0"`, "execution/hosts/2/token": `"t2"`},
		},
		"references stay": {
			`{"password":{"$secret":"DB"},"url":{"$secret_text":["https://x/",{"$secret":"user/T"}]}}`,
			`{"password":{"$secret":"DB"},"url":{"$secret_text":["https://x/",{"$secret":"user/T"}]}}`,
			map[marker.Ref]string{},
		},
		"references in a secret object": {
			`{"login":{"user":"me","password":{"$secret":"DB"}}}`,
			`{"login":{"password":{"$secret":"DB"},"user":{"$secret":"execution/login/user"}}}`,
			map[marker.Ref]string{"execution/login/user": `"me"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, given := secretive(t), object(t, c.given)
			marked, values, err := a.Split(given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.values, values); diff != "" {
				t.Error(diff)
			}
			r, err := a.Request(t.Context(), marked)
			if err != nil || string(r.Parameters) != c.want {
				t.Errorf("got %s, %v\nwant %s", r.Parameters, err, c.want)
			}
			if diff := cmp.Diff(object(t, c.given), given); diff != "" {
				t.Errorf("what was given has changed: %s", diff)
			}
			again, _, err := a.Split(marked)
			if diff := cmp.Diff(marked, again); err != nil || diff != "" {
				t.Errorf("split again: %v %s", err, diff)
			}
		})
	}
}

func TestWhatDoesNotFitIsRefusedWithoutItsValue(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, `{"token":"t%d"},`, i)
	}
	for name, c := range map[string]struct{ given, field, message string }{
		"a secret that is too short":      {`{"password":"abc"}`, "password", "must have at least 4 characters"},
		"a secret of another type":        {`{"pin":"12abc"}`, "pin", "must be a whole number, not text"},
		"a reference where a number is":   {`{"n":{"$secret":"DB"}}`, "n", "must be a whole number, not text; a secret that is referred to by name is text"},
		"a reference where an object is":  {`{"login":{"$secret":"DB"}}`, "login", "must be an object, not text; a secret that is referred to by name is text"},
		"a reference of an unknown name":  {`{"x":{"$secret":"DB"}}`, "x", "is not a known property"},
		"more keys than a reference has":  {`{"password":{"$secret":"DB","x":1}}`, "password", "a reference to a secret has no other keys"},
		"a reference that cannot be":      {`{"hosts":[{"token":{"$secret":"a b"}}]}`, "hosts.0.token", "not a reference to a secret"},
		"more secrets than can be sealed": {`{"hosts":[` + strings.TrimSuffix(many.String(), ",") + `]}`, "hosts.64.token", "more than 64 secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := secretive(t).Split(object(t, c.given))
			var faults schema.Faults
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Field() != c.field || !strings.Contains(faults[0].Message, c.message) {
				t.Errorf("got %v, want %s: %s", err, c.field, c.message)
			}
			if err != nil && (strings.Contains(err.Error(), "abc") || strings.Contains(err.Error(), "t64")) {
				t.Errorf("the value is shown: %v", err)
			}
		})
	}
}

func TestRequestRefusesSecretsInTheClear(t *testing.T) {
	t.Parallel()
	_, err := secretive(t).Request(t.Context(), object(t, `{"password":"hunter2","login":{"a":{"$secret":"A"},"b":["x"]},"hosts":[{"token":"t0"}]}`))
	var faults schema.Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.Field())
	}
	if diff := cmp.Diff([]string{"hosts.0.token", "login.b.0", "password"}, got); diff != "" || strings.Contains(err.Error(), "hunter2") {
		t.Error(err, diff)
	}
}

func TestWhatMayBeLargeIsBoundedTogether(t *testing.T) {
	t.Parallel()
	_, _, err := secretive(t).Split(object(t, `{"password":"`+strings.Repeat("x", 256<<10)+`"}`))
	if !errors.Is(err, invocation.ErrTooLarge) {
		t.Error(err)
	}
}
