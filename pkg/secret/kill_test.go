package secret_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

// A process of this test that has these in its environment is a victim: it changes the key until it is killed.
const (
	victimOf    = "SECRET_TEST_DATABASE"
	victimFile  = "SECRET_TEST_KEY_FILE"
	victimFirst = "SECRET_TEST_BEGIN" // it says that the key is to change
)

// beVictim does not return.
func beVictim(address string) {
	err := func() error {
		pool, err := pgxpool.New(context.Background(), address)
		if err != nil {
			return err
		}
		s, err := secret.OpenWith(context.Background(), secret.Config{DB: pool, Sources: []secret.Source{secret.KeyFile(os.Getenv(victimFile))}, Every: time.Millisecond})
		if err != nil {
			return err
		}
		if os.Getenv(victimFirst) != "" {
			if err := s.Rekey(context.Background(), ""); err != nil {
				return err
			}
		}
		fmt.Println("at work")
		return s.Run(context.Background())
	}()
	fmt.Println(err)
	os.Exit(1)
}

// startVictim gives a process that is at work, and what kills it.
func startVictim(t *testing.T, address, file, first string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimOf+"="+address, victimFile+"="+file, victimFirst+"="+first)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill() // it may be dead
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("the victim ended with %v", err)
			}
		})
	}
	t.Cleanup(kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "at work\n" {
		kill()
		t.Fatalf("the victim says %q, %v", line, err)
	}
	return kill
}

// Rows that another transaction holds are passed over: with them the test says how far the victim comes.
func TestAChangeOfKeyGoesOnWhereverAProcessIsKilled(t *testing.T) {
	t.Parallel()
	address, file := dbtest.URL(t), keyFile(t)
	pool, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := open(t, pool, file)
	all := fill(t, s, 200) // 300 versions
	execute(t, pool, "DELETE FROM secret_holders")
	first := "yes"
	for _, held := range []int{300, 299, 230, 120, 3} {
		hold, err := pool.Begin(t.Context()) // which ends with the test's context
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hold.Rollback(context.Background()) }) // it may have ended
		rows, err := hold.Query(t.Context(), "SELECT owner FROM secret_versions v ORDER BY owner DESC, name, version LIMIT $1 FOR UPDATE", held)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(n) != held {
			t.Fatalf("%d are held, %v", len(n), err)
		}
		kill := startVictim(t, address, file, first)
		first = ""
		awaitStates(t, s, fmt.Sprintf("current %d, old %d", 300-held, held))
		kill()
		readable(t, s, all)
		readable(t, open(t, pool, file), all)
		if err := hold.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		execute(t, pool, "DELETE FROM secret_holders")
	}
	start(t, pool, secret.KeyFile(file))
	awaitStates(t, s, "current 300, retired 0")
	readable(t, s, all)
}
