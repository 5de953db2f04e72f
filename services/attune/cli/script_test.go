package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/attune/attune/services/attune/attunetest"
)

func TestMain(m *testing.M) {
	attunetest.Overlap()
	attunetest.Main(m)
}

// TestScripts types commands at a real installation. Its scripts share one, and the pack shop.
func TestScripts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts an installation")
	}
	in := attunetest.Start(t, attunetest.Options{})
	if out := in.Run("pack", "install", filepath.Join("testdata", "packs", "shop")); out.Code != 0 {
		t.Fatalf("install the pack: %s", out.Stderr)
	}
	bin := t.TempDir()
	if err := os.Symlink(attunetest.Command(nil).Path, filepath.Join(bin, "attune")); err != nil {
		t.Fatal(err)
	}
	t.Run("scripts", func(t *testing.T) { // the installation must outlast them
		testscript.Run(t, testscript.Params{
			Dir:  filepath.Join("testdata", "script"),
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "uuid": uuid, "eventually": eventually, "trust": trust, "keep": keep},
			Setup: func(e *testscript.Env) error {
				e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
				e.Setenv("ATTUNE_DATA_DIR", in.Dir)
				e.Setenv("XDG_CONFIG_HOME", in.Dir+".config")
				name, value, _ := strings.Cut(attunetest.EndAtOnce(), "=")
				e.Setenv(name, value)
				return nil
			},
		})
	})
}

// exits runs a command that must end with a status: exits STATUS COMMAND ...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARGUMENT ...]")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("status %d, want %s", got, args[0])
	}
}

// trust trusts the key in a file to sign indexes: trust FILE.
func trust(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: trust FILE")
	}
	ts.Setenv("ATTUNE_PACK_INDEX_KEY", ts.ReadFile(args[0]))
}

// keep keeps what the last command printed: keep VARIABLE.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// uuid keeps the first id that the last command printed: uuid VARIABLE.
func uuid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: uuid VARIABLE")
	}
	id := uuidPattern.FindString(ts.ReadFile("stdout"))
	if id == "" {
		ts.Fatalf("no id was printed")
	}
	ts.Setenv(args[0], id)
}

// eventually repeats a command until it succeeds and prints what is wanted: eventually PATTERN COMMAND ...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND [ARGUMENT ...]")
	}
	wanted, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-again.C {
		if ts.Exec(args[1], args[2:]...) == nil && wanted.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("it never printed %s", args[0])
}
