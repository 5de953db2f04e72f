package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

// grace is how long a tool that must end may take to clean up.
const grace = 2 * time.Second

// prepare builds what a runtime needs of the pack.
func (b *build) prepare(ctx context.Context, f runtime.Found) (interpreter, error) {
	d, known := runtime.Define(b.store.Definitions, f.Name)
	if !known {
		return remember(f, false), nil
	}
	real := settled(f)
	env := filepath.Join(b.dir, "env", f.Name)
	tasks, err := d.Tasks(runtime.Site{Pack: b.packDir(), Env: env, Interpreter: real, Path: b.store.Path, Options: b.store.Options})
	if err != nil {
		return interpreter{}, err
	}
	if len(tasks) == 0 {
		return remember(f, false), nil
	}
	if err := os.MkdirAll(filepath.Dir(env), 0o755); err != nil { //nolint:gosec // actions may run as other users
		return interpreter{}, fmt.Errorf("folder of the build: %w", err)
	}
	for _, t := range tasks {
		if err := b.task(ctx, fmt.Sprintf("%s %s: %s", f.Name, f.Version, t.Name), t); err != nil {
			return interpreter{}, err
		}
	}
	info, err := os.Stat(env)
	return remember(real, err == nil && info.IsDir()), nil
}

// task runs one command to its end.
func (b *build) task(ctx context.Context, step string, t runtime.Task) error {
	b.begin(step)
	b.out.say("$ " + quote(append([]string{t.Path}, t.Args...)))
	b.out.begin()
	if !filepath.IsAbs(t.Path) {
		return fmt.Errorf("%s is not installed on this machine (looked in %s)", t.Path, b.store.Path)
	}
	res, err := b.store.Launcher.Run(ctx, process.Spec{
		Path: t.Path, Args: t.Args, Dir: b.packDir(), Env: b.environ(t), Environ: "TMPDIR=" + b.tmp(),
		Stdout: b.out, Together: true, Grace: grace, Kill: b.over, MaxFile: b.store.MaxBytes,
	})
	switch {
	case err != nil:
		return err
	case res.ExitCode == 128+int(syscall.SIGXFSZ):
		return errTooLarge
	case res.Canceled:
		return context.Cause(ctx)
	case res.Signal != 0:
		return fmt.Errorf("ended by signal %d (%s)", int(res.Signal), res.Signal)
	case res.ExitCode != 0 && b.said("No space left on device", "ENOSPC"):
		return fmt.Errorf("exit status %d: %w", res.ExitCode, syscall.ENOSPC)
	case res.ExitCode != 0 && b.said("File too large", "EFBIG"):
		return errTooLarge
	case res.ExitCode != 0:
		return fmt.Errorf("exit status %d", res.ExitCode)
	}
	return nil
}

// environ is all that a command sees of the outside.
func (b *build) environ(t runtime.Task) []string {
	env := []string{"HOME=" + b.tmp(), "TMPDIR=" + b.tmp(), "LANG=C.UTF-8", "PATH=" + b.store.Path}
	return lastWins(append(append(env, b.store.Env...), t.Env...))
}

// lastWins leaves one value for each name.
func lastWins(env []string) []string {
	at := map[string]int{}
	out := env[:0:0]
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if n, ok := at[name]; ok {
			out[n] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	return out
}

// said tells whether the tool complained with one of those texts. A full disk may have room again by its end.
func (b *build) said(texts ...string) bool {
	tail := strings.Join(b.out.end(), "\n")
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(tail, text) })
}

// quote writes a command as a shell would take it.
func quote(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`&|;<>()*?[]{}#~!") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// syncFiles returns when what was written below a folder would survive a power failure.
func syncFiles(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
