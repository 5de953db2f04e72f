package config_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/config"
)

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Setenv("ATTUNE_HTTP_ADDR", "nowhere")
	t.Setenv("ATTUNE_LOG_LEVEL", "loud")
	t.Setenv("ATTUNE_SYNC", "sometimes")
	t.Setenv("ATTUNE_REPLICAS", "9")
	t.Setenv("ATTUNE_DATABASE_URL", "mysql://u:hidden@h/d")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check()
	if !errors.Is(err, config.ErrBad) {
		t.Fatalf("check: %v", err)
	}
	for _, name := range []string{"HTTP_ADDR", "LOG_LEVEL", "SYNC", "REPLICAS", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), "ATTUNE_"+name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("the password is shown: %v", err)
	}
}

func TestDefaultsAreUsable(t *testing.T) {
	t.Parallel()
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if c.Slots < 4 || c.DataDir == "" || c.RunnerName == "" {
		t.Errorf("defaults are %+v", c)
	}
}

func TestADatabaseMayBeNamedByItsSocket(t *testing.T) {
	t.Setenv("ATTUNE_DATABASE_URL", "postgres://u:p@/attune?host=/run/postgresql")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := config.Config{DatabaseURL: "postgres://u:hidden@h/d", NATSURL: "nats://u:hidden@h", Token: "hidden"}
	slog.New(slog.NewJSONHandler(&b, nil)).Info("configuration", "config", c)
	if strings.Contains(b.String(), "hidden") {
		t.Errorf("logged: %s", b.String())
	}
}
