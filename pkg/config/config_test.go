package config_test

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/config"
)

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Setenv("ATTUNE_HTTP_ADDR", "nowhere")
	t.Setenv("ATTUNE_LOG_LEVEL", "loud")
	t.Setenv("ATTUNE_SYNC", "sometimes")
	t.Setenv("ATTUNE_REPLICAS", "9")
	t.Setenv("ATTUNE_LOG_FORWARD", "otlp+grpc://u:hidden@h:4317")
	t.Setenv("ATTUNE_LOG_FORWARD_HEADERS", "Authorization=Bearer hidden,Host=hidden")
	t.Setenv("ATTUNE_LOG_FORWARD_CA", "/x/ca.pem")
	t.Setenv("ATTUNE_DATABASE_URL", "mysql://u:hidden@h/d")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check()
	if !errors.Is(err, config.ErrBad) {
		t.Fatalf("check: %v", err)
	}
	for _, name := range []string{"HTTP_ADDR", "LOG_LEVEL", "SYNC", "REPLICAS", "DATABASE_URL", "LOG_FORWARD", "LOG_FORWARD_HEADERS", "LOG_FORWARD_CA"} {
		if !strings.Contains(err.Error(), "ATTUNE_"+name+"=") {
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
	c := config.Config{DatabaseURL: "postgres://u:hidden@h/d", NATSURL: "nats://u:hidden@h", Token: "hidden", LogForward: "otlp+https://u:hidden@h", LogForwardHeaders: "X-Token=hidden"}
	slog.New(slog.NewJSONHandler(&b, nil)).Info("configuration", "config", c)
	if strings.Contains(b.String(), "hidden") {
		t.Errorf("logged: %s", b.String())
	}
}

func TestLabels(t *testing.T) {
	t.Setenv("ATTUNE_LABELS", "zone=eu, gpu,disk/kind=a=b,,")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := config.Labels{"zone": "eu", "gpu": "", "disk/kind": "a=b"}
	if !maps.Equal(want, c.Labels) {
		t.Errorf("labels are %v", c.Labels)
	}
	for _, bad := range []string{"=eu", "-x=1", "a b=c", "zone=" + strings.Repeat("x", 101)} {
		t.Setenv("ATTUNE_LABELS", bad)
		if _, err := config.Load(); !errors.Is(err, config.ErrBad) || !strings.Contains(err.Error(), "LABELS") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// words finds where a field's name is divided, as envconfig does.
var words = regexp.MustCompile(`([a-z])([A-Z])`)

func TestEveryVariableIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		name := field.Tag.Get("envconfig")
		if name == "" {
			name = strings.ToUpper(words.ReplaceAllString(field.Name, "${1}_${2}"))
		}
		if name = config.Prefix + "_" + name; !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operating.md does not name %s", name)
		}
	}
}
