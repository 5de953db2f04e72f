package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packtest"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

func packTest(a *app) *cobra.Command {
	var only string
	var verbose bool
	c := command("test [DIR]", "Run the tests of a pack, tests/*.yaml, without a server", "attune pack test\nattune pack test packs/github --run triage -v",
		cobra.MaximumNArgs(1), a.offline(func(ctx context.Context, s *session, args []string) error {
			pattern, err := regexp.Compile(only)
			if err != nil {
				return WithExit(fmt.Errorf("--run: %w", err), ExitUsage)
			}
			dir, err := filepath.Abs(first(append(args, ".")...))
			if err != nil {
				return err
			}
			results, err := a.testPack(ctx, s, dir, pattern, verbose)
			if err != nil {
				return err
			}
			return s.tested(dir, results)
		}))
	c.Flags().StringVar(&only, "run", "", "only cases whose FILE: NAME matches this regular expression")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the cases that pass too, with what they print")
	must(c.RegisterFlagCompletionFunc("run", cobra.NoFileCompletions))
	c.ValidArgsFunction = nil // files
	return c
}

// testPack runs the cases of a pack and shows each as it ends.
func (a *app) testPack(ctx context.Context, s *session, dir string, only *regexp.Regexp, verbose bool) ([]packtest.Result, error) {
	p, err := pack.Load(dir)
	if err != nil {
		return nil, mistaken(dir, err)
	}
	bench, err := a.newBench(ctx, s, dir, p)
	if err != nil {
		return nil, err
	}
	defer bench.close()
	var results []packtest.Result
	err = packtest.Run(ctx, packtest.Config{
		Dir: dir, Launcher: bench.launcher, Runtimes: bench.runtimes, Location: bench.location, Run: only,
	}, func(r packtest.Result) {
		results = append(results, r)
		s.showCase(r, verbose)
	})
	return results, mistaken(dir, err)
}

// mistaken names the files of mistakes as they are named from here.
func mistaken(dir string, err error) error {
	mistakes, ok := errors.AsType[pack.Mistakes](err)
	if !ok {
		return err
	}
	here, _ := os.Getwd() // without one the whole path is shown
	if rel, relErr := filepath.Rel(here, dir); relErr == nil && filepath.IsLocal(rel) {
		dir = rel
	}
	placed := slices.Clone(mistakes)
	for i, m := range placed {
		placed[i].File = filepath.Join(dir, filepath.FromSlash(m.File))
	}
	return fmt.Errorf("pack %s has %s\n%w", dir, plural(len(placed), "mistake"), placed)
}

// showCase shows a case as go test does.
func (s *session) showCase(r packtest.Result, verbose bool) {
	if s.format != formatTable || r.OK && !verbose {
		return
	}
	word := s.paint.bad("--- FAIL:")
	if r.OK {
		word = s.paint.good("--- PASS:")
	}
	fmt.Fprintf(s.out, "%s %s (%.2fs)\n", word, clean(r.Title()), r.Seconds)
	for _, f := range r.Failures {
		fmt.Fprintf(s.out, "    %s:%d: %s\n", r.File, r.Line, indented(f))
	}
	for _, stream := range []struct{ name, text string }{{"stdout", r.Stdout}, {"stderr", r.Stderr}} {
		if text := strings.TrimRight(stream.text, "\n"); text != "" {
			fmt.Fprintf(s.out, "    %s:\n        %s\n", stream.name, indented(text))
		}
	}
}

func indented(text string) string { return strings.ReplaceAll(clean(text), "\n", "\n        ") }

// tested says how the tests ended.
func (s *session) tested(dir string, results []packtest.Result) error {
	var failed int
	var took float64
	for _, r := range results {
		failed += count(!r.OK)
		took += r.Seconds
	}
	if s.format != formatTable {
		if err := list(s.view, results, "cases", nil); err != nil {
			return err
		}
	} else {
		s.verdict(filepath.Base(dir), len(results), failed, took)
	}
	if failed > 0 {
		return WithExit(errQuiet, ExitFailed)
	}
	return nil
}

func (s *session) verdict(name string, all, failed int, took float64) {
	switch {
	case all == 0:
		fmt.Fprintf(s.out, "?     %s  no cases; they are in tests/*.yaml\n", name)
	case failed > 0:
		fmt.Fprintf(s.out, "%s  %s  %d of %s failed  %.2fs\n", s.paint.bad("FAIL"), name, failed, plural(all, "case"), took)
	default:
		fmt.Fprintf(s.out, "%s    %s  %s  %.2fs\n", s.paint.good("ok"), name, plural(all, "case"), took)
	}
}

// bench is what the programs of a pack are run with on this machine.
type bench struct {
	launcher *process.Launcher
	runtimes *runtime.Set
	location func(string) (runtime.Location, error) // nil: straight from the pack's folder
	closers  []func()
}

func (b *bench) close() {
	for _, c := range slices.Backward(b.closers) {
		c()
	}
}

// newBench finds the runtimes of the machine and builds what the pack needs.
func (a *app) newBench(ctx context.Context, s *session, dir string, p pack.Pack) (b *bench, err error) {
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	defs, err := runtime.Definitions(runtimeDirs(cfg)...)
	if err != nil {
		return nil, err
	}
	b = &bench{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	temp, err := os.MkdirTemp("", "attune-bench-")
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() { _ = os.RemoveAll(temp) }) // what remains is temporary
	if b.launcher, err = process.NewLauncher(process.Config{Seed: temp}); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.launcher.Close)
	b.runtimes, err = runtime.NewSet(runtime.SetConfig{Definitions: defs, Found: detectFor(ctx, cfg, defs, p), Dir: temp, Path: runtime.DefaultPath})
	if err != nil || !needsBuild(defs, dir, p) {
		return b, err
	}
	return b, a.buildFor(ctx, s, b, defs, dir, cfg)
}

// detectFor finds the interpreters of the runtimes that a pack's actions have.
func detectFor(ctx context.Context, cfg config.Config, defs []runtime.Definition, p pack.Pack) []runtime.Found {
	used := slices.DeleteFunc(slices.Clone(defs), func(d runtime.Definition) bool {
		return !slices.ContainsFunc(p.Actions, func(x pack.Action) bool { return x.Runtime == d.Name })
	})
	home, _ := os.UserHomeDir() // without one there are no folders of version managers
	return runtime.Detect(ctx, runtime.DetectConfig{
		Definitions: used, Path: runtime.DefaultPath, Folders: filepath.SplitList(cfg.RuntimePath), Home: home,
	})
}

// needsBuild tells whether something must be built before the pack's programs can run.
func needsBuild(defs []runtime.Definition, dir string, p pack.Pack) bool {
	return slices.ContainsFunc(p.Actions, func(x pack.Action) bool {
		d, ok := runtime.Define(defs, x.Runtime)
		return ok && len(d.Build) > 0 && (len(d.Needs) == 0 || slices.ContainsFunc(d.Needs, func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		}))
	})
}

// buildFor builds the environment of a pack, which stays for the next time.
func (a *app) buildFor(ctx context.Context, s *session, b *bench, defs []runtime.Definition, dir string, cfg config.Config) error {
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		return err
	}
	envs, err := environment.Open(environment.Config{
		Dir: filepath.Join(first(a.dataDir, cfg.DataDir), "client", "environments"), Launcher: b.launcher, Definitions: defs,
		Options: cfg.BuildOptions(), Env: cfg.BuildEnviron(), Timeout: cfg.BuildTimeout, MaxBytes: cfg.BuildMaxBytes,
		Runtimes: func(context.Context) (environment.Runtimes, error) { return b.runtimes, nil },
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, envs.Close)
	var log bytes.Buffer
	p, began := newProgress(s), time.Now()
	env, err := envs.Build(ctx, environment.Request{
		Digest: digest, Log: &log,
		Archive: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil },
		Step:    func(step string) { p.say("%s: %s", step, time.Since(began).Round(time.Second)) },
	})
	p.done()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(log.String()))
	}
	b.closers = append(b.closers, env.Release)
	b.location = func(name string) (runtime.Location, error) {
		found, missing, ok := env.Interpreter(name)
		if !ok {
			return runtime.Location{}, errors.New(environment.Lacks(missing))
		}
		return runtime.Location{Pack: env.Pack, Env: env.Env(name), Interpreter: found}, nil
	}
	return nil
}
