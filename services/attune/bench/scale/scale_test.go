package scale

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the measurement start this test binary as its parts.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; Handles(args) {
		if err := Main(context.Background(), args, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A small measurement goes through every case with real processes and gives a figure for each.
func TestMeasuresEveryCase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and schedulers")
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "figures.json")
	var out strings.Builder
	err := Main(t.Context(), []string{
		Command, "-sync", syncInterval, "-queues", "1,10", "-waiting", "200", "-executions", "100", "-rounds", "1", "-samples", "20", "-slots", "64", "-json", file,
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got < 12 {
		t.Errorf("the table has %d lines:\n%s", got, out.String())
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestRefusesOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-servers 2", "-sync never", "-facts none", "-queues one", "-rounds 0"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}
