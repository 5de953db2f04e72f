package attunetest_test

import (
	"net"
	"strings"
	"testing"

	"github.com/attune/attune/services/attune/attunetest"
)

func TestASecondProcessOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{})
	out := in.Run("up", "--data", in.Dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	if out.Code != 1 || !strings.Contains(out.Stderr, "data folder is in use") || !strings.Contains(out.Stderr, in.Dir) {
		t.Errorf("%+v", out)
	}
	if out := in.Run("execution", "list"); out.Code != 0 {
		t.Errorf("the first one is disturbed: %+v", out)
	}
}

func TestATakenPortIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's listener
	taken := l.Addr().String()
	for flag, other := range map[string]string{"--http": "--nats", "--nats": "--http"} {
		out := attunetest.Run(t, "up", "--data", t.TempDir(), flag, taken, other, "127.0.0.1:0")
		if out.Code != 1 || !strings.Contains(out.Stderr, taken) || !strings.Contains(out.Stderr, flag) {
			t.Errorf("%s: %+v", flag, out)
		}
	}
}

func TestBadConfigurationIsListedWhole(t *testing.T) {
	t.Parallel()
	out := attunetest.RunWith(t, []string{"ATTUNE_SYNC=never", "ATTUNE_REPLICAS=9"}, "up", "--data", t.TempDir(), "--http", "nonsense")
	if out.Code != 2 {
		t.Errorf("status %d, want 2", out.Code)
	}
	for _, want := range []string{"ATTUNE_SYNC", "ATTUNE_REPLICAS", "ATTUNE_HTTP_ADDR"} {
		if !strings.Contains(out.Stderr, want) {
			t.Errorf("%s is not named:\n%s", want, out.Stderr)
		}
	}
}

func TestServeSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	out := attunetest.Run(t, "serve", "api")
	if out.Code != 2 {
		t.Errorf("status %d, want 2", out.Code)
	}
	for _, want := range []string{"ATTUNE_NATS_URL", "ATTUNE_DATABASE_URL", "ATTUNE_TOKEN"} {
		if !strings.Contains(out.Stderr, want) {
			t.Errorf("%s is not named:\n%s", want, out.Stderr)
		}
	}
}
