package packtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/version"
)

// Config is what tests are run with.
type Config struct {
	Dir      string // the pack's folder, which has no mistakes
	Launcher *process.Launcher
	Runtimes *runtime.Set
	// Location says with what programs of a runtime run; nil: with the newest interpreter in the pack's range.
	Location func(runtimeName string) (runtime.Location, error)
	Run      *regexp.Regexp // names of the cases to run, as FILE: NAME; nil: all
}

// Result is what came of a case.
type Result struct {
	File     string          `json:"file"`
	Line     int             `json:"line"`
	Name     string          `json:"name"`
	OK       bool            `json:"ok"`
	Seconds  float64         `json:"seconds"`
	Status   string          `json:"status,omitempty"` // of an action
	Failures []string        `json:"failures,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Stdout   string          `json:"stdout,omitempty"`
	Stderr   string          `json:"stderr,omitempty"`
}

// Title is how a case is named and selected.
func (r Result) Title() string { return r.File + ": " + r.Name }

func (r *Result) fail(format string, args ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

// tester runs the cases of one pack.
type tester struct {
	Config
	pack    pack.Pack
	config  *schema.Schema
	actions map[string]*action
}

// action is one of the pack's, ready to be asked for.
type action struct {
	spec   pack.Action
	ready  *invocation.Action
	result *schema.Schema
}

// Run runs the cases in the order of files and lines and reports each as it ends. An error means that they could
// not be run; that a case failed is none.
func Run(ctx context.Context, c Config, report func(Result)) error {
	files, err := pack.LoadTests(os.DirFS(c.Dir))
	if err != nil {
		return err
	}
	t, err := newTester(c)
	if err != nil {
		return err
	}
	for _, f := range files {
		for _, tc := range f.Cases {
			r := Result{File: f.File, Line: tc.Line, Name: tc.Name}
			if c.Run != nil && !c.Run.MatchString(r.Title()) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			began := time.Now()
			t.run(ctx, tc, &r)
			r.OK, r.Seconds = len(r.Failures) == 0, time.Since(began).Seconds()
			report(r)
		}
	}
	return nil
}

func newTester(c Config) (*tester, error) {
	p, err := pack.Load(c.Dir)
	if err != nil {
		return nil, err
	}
	t := &tester{Config: c, pack: p, actions: map[string]*action{}}
	if t.config, err = schema.Compile(p.Config); err != nil {
		return nil, fmt.Errorf("config of pack %s: %w", p.Name, err)
	}
	for _, a := range p.Actions {
		ready := &action{spec: a}
		if ready.ready, err = invocation.Compile(definitions.Action{Pack: p.Name, Spec: a}); err == nil {
			ready.result, err = schema.Compile(a.OutputSchema)
		}
		if err != nil {
			return nil, fmt.Errorf("action %s.%s: %w", p.Name, a.Name, err)
		}
		t.actions[a.Name] = ready
	}
	if t.Location == nil {
		t.Location = t.newest
	}
	return t, nil
}

// newest runs programs from the pack's folder with the newest interpreter that the pack takes.
func (t *tester) newest(name string) (runtime.Location, error) {
	wanted, err := version.ParseRange(t.pack.Runtime[name])
	if err != nil {
		return runtime.Location{}, err
	}
	found, err := t.Runtimes.Choose(name, wanted)
	return runtime.Location{Pack: t.Dir, Interpreter: found}, err
}

func (t *tester) run(ctx context.Context, tc pack.TestCase, r *Result) {
	if tc.Event != nil {
		t.decide(ctx, tc, r)
		return
	}
	if err := t.execute(ctx, tc, r); err != nil {
		r.fail("%v", err)
	}
}

// configured gives the configuration that a case sets, with the defaults of the pack.
func (t *tester) configured(values map[string]any) (json.RawMessage, error) {
	full := t.config.WithDefaults(maps.Clone(values))
	if full == nil {
		full = map[string]any{}
	}
	if len(values) > 0 {
		if err := t.config.Validate(full); err != nil {
			return nil, fmt.Errorf("config does not fit the pack's schema: %w", err)
		}
	}
	return json.Marshal(full)
}
