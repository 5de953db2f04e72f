package secret_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/secret"
)

func TestValuesAreSealedOnceForAnExecution(t *testing.T) {
	t.Parallel()
	store, ctx, id := open(t, dbtest.New(t), keyFile(t)), t.Context(), execution.NewID()
	values := map[string]string{"password": `"` + canary + `"`, "hosts/0/~1": `{"a":1}`}
	if known, err := store.IsSealed(ctx, id, values); known || err != nil {
		t.Fatal(known, err)
	}
	for range 2 {
		if err := store.Seal(ctx, id, values); err != nil {
			t.Fatal(err)
		}
	}
	for name, others := range map[string]map[string]string{
		"another value": {"password": `"x"`, "hosts/0/~1": `{"a":1}`},
		"fewer":         {"password": `"` + canary + `"`},
		"more":          {"password": `"` + canary + `"`, "hosts/0/~1": `{"a":1}`, "b": "1"},
		"none":          {},
	} {
		_, known := store.IsSealed(ctx, id, others)
		if err := store.Seal(ctx, id, others); !errors.Is(err, secret.ErrDiffers) || !errors.Is(known, secret.ErrDiffers) {
			t.Errorf("%s: %v, %v", name, err, known)
		}
	}
	if known, err := store.IsSealed(ctx, id, values); !known || err != nil {
		t.Error(known, err)
	}
	got, err := store.Values(ctx, []secret.Owner{secret.OfExecution(id)}, []string{"password", "hosts/0/~1"})
	if err != nil || string(got["password"]) != values["password"] || string(got["hosts/0/~1"]) != `{"a":1}` {
		t.Errorf("%q %v", got, err)
	}
}

func TestOfTwoWhoSealAtOnceOneWins(t *testing.T) {
	t.Parallel()
	store, id := open(t, dbtest.New(t), keyFile(t)), execution.NewID()
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = store.Seal(t.Context(), id, map[string]string{"a": fmt.Sprint(i), "b": "1"}) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case !errors.Is(err, secret.ErrDiffers):
			t.Errorf("%d: %v", i, err)
		}
	}
	if known, err := store.IsSealed(t.Context(), id, map[string]string{"a": fmt.Sprint(winner), "b": "1"}); !known || err != nil {
		t.Errorf("%d won, and %v is sealed", winner, err)
	}
}

func TestOwningTellsWhoseSecretItIs(t *testing.T) {
	t.Parallel()
	store, ctx := open(t, dbtest.New(t), keyFile(t)), t.Context()
	set(t, store, "A", canary)
	set(t, store, "B", canary)
	if _, err := store.Put(ctx, secret.OfPack("demo"), "A", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	owners := []secret.Owner{secret.OfPack("demo"), secret.Global}
	for name, want := range map[string]secret.Owner{"A": secret.OfPack("demo"), "B": secret.Global, "C": ""} {
		if got, err := store.Owning(ctx, owners, name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
