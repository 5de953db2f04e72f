package dbtest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/database/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for range 3 {
		if _, err := dbtest.New(t).Exec(ctx, "CREATE TABLE mine (id int)"); err != nil {
			t.Fatal(err)
		}
	}
}
