package postgres_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/attune/attune/pkg/postgres"
)

func TestOthersLearnTheAddressFromTheFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if _, err := postgres.Address(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the address of nothing: %v", err)
	}
	s, _ := start(t, dir)
	if got, err := postgres.Address(dir); err != nil || got != s.URL() {
		t.Errorf("%s instead of %s: %v", got, s.URL(), err)
	}
}
