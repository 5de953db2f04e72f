package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/postgres"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/services/attune/local"
)

// natsContext is the context of the nats command line that `attune up` saves.
const natsContext = "attune"

// Levels of a finding.
const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "fail"
)

// finding is what one check of the doctor found.
type finding struct {
	Check  string `json:"check"`
	Level  string `json:"level"` // ok, warn, fail
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

// checkPatience bounds each check.
const checkPatience = 5 * time.Second

func doctorCommand(a *app) *cobra.Command {
	c := command("doctor", "Check what Attune needs on this machine, and whether it runs", "attune doctor", cobra.NoArgs,
		a.offline(func(ctx context.Context, s *session, _ []string) error {
			findings := a.examine(ctx)
			if err := list(s.view, findings, "findings", findingColumns); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Level == levelFail {
					return WithExit(errQuiet, ExitFailed)
				}
			}
			return nil
		}))
	c.Long = "Check what Attune needs on this machine, and whether it runs. The exit status is 1 when a check fails; a warning is none."
	return c
}

var findingColumns = []column[finding]{
	{title: "CHECK", cell: func(f finding) string { return f.Check }},
	{title: "STATE", cell: func(f finding) string { return f.Level }, paint: paint.status},
	{title: "DETAIL", cell: func(f finding) string {
		if f.Advice == "" {
			return f.Detail
		}
		return f.Detail + "; " + f.Advice
	}},
}

func ok(check, format string, args ...any) finding {
	return finding{Check: check, Level: levelOK, Detail: fmt.Sprintf(format, args...)}
}

func (a *app) examine(ctx context.Context) []finding {
	cfg, err := config.Load()
	if err != nil {
		return []finding{{Check: "configuration", Level: levelFail, Detail: err.Error()}}
	}
	dir := first(a.dataDir, cfg.DataDir)
	findings := []finding{checkConfig(cfg), checkData(dir)}
	findings = append(findings, a.checkAPI(ctx)...)
	findings = append(findings, checkIsolation(cfg, dir))
	findings = append(findings, checkRuntimes(ctx, cfg)...)
	return append(findings, checkPostgres(ctx, cfg), checkNATSContext())
}

func checkConfig(cfg config.Config) finding {
	if err := cfg.Check(); err != nil {
		return finding{Check: "configuration", Level: levelFail, Detail: err.Error(), Advice: "correct these variables of the environment"}
	}
	return ok("configuration", "no mistake in the environment")
}

// checkData looks at the data folder. There may be none yet, but what is there must not be open to others.
func checkData(dir string) finding {
	const check = "data folder"
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{Check: check, Level: levelWarn, Detail: dir + " does not exist yet", Advice: "attune up makes it"}
	case err != nil:
		return finding{Check: check, Level: levelFail, Detail: err.Error(), Advice: "name another one with --data or ATTUNE_DATA_DIR"}
	case !info.IsDir():
		return finding{Check: check, Level: levelFail, Detail: dir + " is no folder", Advice: "name another one with --data or ATTUNE_DATA_DIR"}
	}
	file := filepath.Join(dir, local.FileName)
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return finding{Check: check, Level: levelFail, Detail: file + " holds the API's token and others may read it", Advice: "chmod 600 " + file}
	}
	return ok(check, "%s", dir)
}

// checkAPI asks the API how it stands.
func (a *app) checkAPI(whole context.Context) []finding {
	ctx, cancel := context.WithTimeout(whole, checkPatience)
	defer cancel()
	t, err := a.locate()
	if err != nil {
		return []finding{{Check: "api", Level: levelWarn, Detail: err.Error(), Advice: "start it with: attune up"}}
	}
	c, err := a.impatient(t)
	if err != nil {
		return []finding{{Check: "api", Level: levelFail, Detail: err.Error()}}
	}
	defer c.Close()
	health, err := c.Health(ctx)
	if err != nil {
		return []finding{{Check: "api", Level: levelFail, Detail: err.Error(), Advice: unreachableAdvice(t)}}
	}
	found := append([]finding{ok("api", "%s, version %s", t.url, health.Version), checkToken(ctx, c)}, checkReady(ctx, c)...)
	found = append(found, checkRunners(ctx, c), checkRetention(ctx, c))
	return append(found, checkServices(whole, c)...)
}

func unreachableAdvice(t target) string {
	if t.from == "" {
		return "is the address right?"
	}
	return "it was killed if " + t.from + " is there and nothing runs; start it with: attune up"
}

func checkToken(ctx context.Context, c *client.Client) finding {
	_, _, err := c.Packs(ctx, 1)
	switch {
	case client.Code(err) == api.CodeUnauthorized:
		return finding{Check: "token", Level: levelFail, Detail: "the API refuses it", Advice: "give the right one as ATTUNE_TOKEN"}
	case err != nil:
		return finding{Check: "token", Level: levelWarn, Detail: err.Error()}
	}
	return ok("token", "the API takes it")
}

// checkRetention tells how the last sweep of logs went.
func checkRetention(ctx context.Context, c *client.Client) finding {
	const check = "retention"
	r, err := c.Retention(ctx)
	switch {
	case err != nil:
		return finding{Check: check, Level: levelWarn, Detail: err.Error()}
	case r.Sweep == nil:
		return finding{Check: check, Level: levelWarn, Detail: "logs have not been swept yet", Advice: "is a recorder running?"}
	case r.Sweep.Error != "":
		return finding{Check: check, Level: levelFail, Detail: "the last sweep failed: " + r.Sweep.Error, Advice: "attune retention show tells when the next is tried"}
	}
	return ok(check, "last swept at %s", r.Sweep.StartedAt.UTC().Format(time.RFC3339))
}

func checkReady(ctx context.Context, c *client.Client) []finding {
	ready, err := c.Ready(ctx)
	if err != nil {
		return []finding{{Check: "ready", Level: levelFail, Detail: err.Error()}}
	}
	var out []finding
	for _, part := range ready.Checks {
		f := ok("ready: "+part.Name, "works")
		if !part.OK {
			f = finding{Check: f.Check, Level: levelFail, Detail: first(part.Error, "does not work")}
		}
		out = append(out, f)
	}
	return out
}

// checkRuntimes tells which interpreters a runner on this machine would find.
func checkRuntimes(ctx context.Context, cfg config.Config) []finding {
	defs, err := runtime.Definitions(runtimeDirs(cfg)...)
	if err != nil {
		return []finding{{Check: "runtimes", Level: levelFail, Detail: err.Error(), Advice: "correct the files in ATTUNE_RUNTIMES_DIR"}}
	}
	home, _ := os.UserHomeDir() // without one there are no folders of version managers
	have, broken := map[string][]string{}, map[string]error{}
	for _, f := range runtime.Detect(ctx, runtime.DetectConfig{
		Definitions: defs, Path: runtime.DefaultPath, Folders: filepath.SplitList(cfg.RuntimePath), Home: home,
		Container:  runtime.ContainerConfig{Args: strings.Fields(cfg.ContainerArgs)},
		PassedOver: func(name string, err error) { broken[name] = err },
	}) {
		have[f.Name] = append(have[f.Name], strings.TrimSpace(f.Version+" "+f.Path))
	}
	var out []finding
	for _, d := range defs {
		switch found := have[d.Name]; {
		case len(found) > 0:
			out = append(out, ok("runtime "+d.Name, "%s", strings.Join(found, ", ")))
		case broken[d.Name] != nil && d.Name != runtime.Shell:
			out = append(out, finding{Check: "runtime " + d.Name, Level: levelWarn, Detail: broken[d.Name].Error(), Advice: "actions in it cannot run on this machine"})
		case usual[d.Name]:
			out = append(out, finding{Check: "runtime " + d.Name, Level: levelWarn, Detail: "not found", Advice: "actions in it cannot run on this machine"})
		}
	}
	return out
}

// usual are the runtimes whose absence is worth a word.
var usual = map[string]bool{runtime.Shell: true, runtime.Python: true, runtime.Node: true}

func runtimeDirs(cfg config.Config) []string {
	if cfg.RuntimesDir == "" {
		return nil
	}
	return []string{cfg.RuntimesDir}
}

// checkPostgres tells whether `attune up` finds a PostgreSQL to start.
func checkPostgres(ctx context.Context, cfg config.Config) finding {
	const check = "postgresql"
	if cfg.DatabaseURL != "" {
		return ok(check, "ATTUNE_DATABASE_URL names one; none is started")
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	b, err := postgres.Installed(ctx, 0)
	if err != nil {
		return finding{Check: check, Level: levelWarn, Detail: err.Error(), Advice: "attune up will fetch one; installing the package postgresql is quicker"}
	}
	return ok(check, "%s in %s", b.Version, b.Dir)
}

// checkNATSContext tells whether the nats command line can be used as the documentation shows.
func checkNATSContext() finding {
	const check = "nats context"
	file, err := natsserver.ContextFile(natsContext)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		return finding{Check: check, Level: levelWarn, Detail: err.Error(), Advice: "attune up saves it, for: nats --context " + natsContext}
	}
	return ok(check, "%s", file)
}
