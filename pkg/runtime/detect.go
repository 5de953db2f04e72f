package runtime

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/version"
)

// DefaultPath is where programs are looked for when nobody says otherwise.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// standardFolders are looked in for every runtime: they are for interpreters that are kept for Attune.
var standardFolders = []string{"/opt/attune/runtimes/*/bin", "/opt/attune/runtimes/*"}

const (
	// DefaultPatience bounds how long an interpreter may take to tell its version.
	DefaultPatience = 10 * time.Second
	// maxAnswer bounds what an interpreter may say when it is asked its version, in bytes.
	maxAnswer = 64 << 10
	// probesPerProcessor is how many interpreters are asked at once: they wait for the disk more than they compute.
	probesPerProcessor = 4
)

// Found is a runtime that this machine has.
type Found struct {
	Name    string
	Version string
	Path    string // absolute; "" where no interpreter is needed
	OCI     string // of container engines: the OCI runtime that they use
}

// DetectConfig says what to look for, and where.
type DetectConfig struct {
	Definitions []Definition
	Path        string        // folders as in PATH, searched after Folders
	Folders     []string      // the operator's: folders or patterns of them
	Home        string        // what ~ stands for; "": those folders are passed over
	Patience    time.Duration // for each interpreter; 0: DefaultPatience
	Container   ContainerConfig
	PassedOver  func(name string, err error) // is told what was found and does not work; may be nil
	Memory      *Memory                      // nil: every interpreter is asked
}

// Detect runs every interpreter that it finds and reports each version of each runtime once, the newest first. Of two
// with the same version it is the one found first. An interpreter that does not answer is passed over.
func Detect(ctx context.Context, c DetectConfig) []Found {
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	free := make(chan struct{}, probesPerProcessor*goruntime.NumCPU())
	answers := make([][]answer, len(c.Definitions))
	var probes sync.WaitGroup
	for i, d := range c.Definitions {
		probes.Go(func() { answers[i] = c.detect(ctx, d, free) })
	}
	probes.Wait()
	var found []Found
	for i, d := range c.Definitions {
		found = append(found, distinct(answers[i])...)
		for _, a := range answers[i] {
			if a.err != nil && c.PassedOver != nil {
				c.PassedOver(d.Name, a.err)
			}
		}
	}
	return found
}

// answer is what became of asking an interpreter.
type answer struct {
	Found
	err error
}

// detect asks all candidates of a runtime, each for the token of a probe.
func (c DetectConfig) detect(ctx context.Context, d Definition, free chan struct{}) []answer {
	if len(d.Detect.Programs) == 0 {
		return []answer{{Found: Found{Name: d.Name, Version: goruntime.GOOS + "/" + goruntime.GOARCH}}}
	}
	files := c.candidates(d)
	answers := make([]answer, len(files))
	var probes sync.WaitGroup
	for i, file := range files {
		free <- struct{}{}
		probes.Go(func() {
			defer func() { <-free }()
			answers[i].Found, answers[i].err = c.Memory.ask(d, file, c.question(d), func() (Found, error) { return c.ask(ctx, d, file) })
		})
	}
	probes.Wait()
	return answers
}

// distinct leaves one of each file and of each version that answered, and puts the newest first.
func distinct(answers []answer) (found []Found) {
	seen := map[string]bool{}
	for _, a := range answers {
		if a.err != nil || seen[a.Version] || seen[real(a.Path)] {
			continue
		}
		seen[a.Version], seen[real(a.Path)] = true, true
		found = append(found, a.Found)
	}
	slices.SortStableFunc(found, func(a, b Found) int { return version.Compare(b.Version, a.Version) })
	return found
}

// candidates lists the files that may be interpreters of a runtime, each real file once, the best first.
func (c DetectConfig) candidates(d Definition) (files []string) {
	seen := map[string]bool{}
	for _, dir := range c.folders(d) {
		for _, pattern := range d.Detect.Programs {
			some := programs(dir, pattern)
			for _, file := range some {
				if at := real(file); !seen[at] {
					seen[at] = true
					files = append(files, file)
				}
			}
			if len(some) > 0 && filepath.Base(dir) == "shims" {
				break // of a version manager's shims, which are slow, one is enough: all stand for the same interpreter
			}
		}
	}
	return files
}

// folders lists where a runtime is looked for: the operator's folders, those of PATH, those of version managers.
func (c DetectConfig) folders(d Definition) (dirs []string) {
	own := slices.Concat(standardFolders, d.Detect.Folders)
	for _, pattern := range slices.Concat(c.Folders, filepath.SplitList(c.Path), own) {
		if rest, ok := strings.CutPrefix(pattern, "~/"); ok && c.Home != "" {
			pattern = filepath.Join(c.Home, rest)
		}
		if !filepath.IsAbs(pattern) {
			continue
		}
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // it is no pattern: definitions were checked, so it is a folder that is not there
		}
		slices.Sort(matches)
		dirs = append(dirs, matches...)
	}
	return dirs
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// real is the file behind links; the name itself where it cannot be followed.
func real(file string) string {
	if at, err := filepath.EvalSymlinks(file); err == nil {
		return at
	}
	return file
}

// programs lists the programs of a folder that match.
func programs(dir, pattern string) (files []string) {
	names := []string{filepath.Join(dir, pattern)}
	if hasMeta(pattern) {
		names, _ = filepath.Glob(names[0]) // what is no pattern matches nothing
	}
	for _, file := range names {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			files = append(files, file)
		}
	}
	return files
}

// lookUp lists the programs of a name in the folders of path.
func lookUp(path, name string) (files []string) {
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) && filepath.Base(name) == name {
			files = append(files, programs(dir, name)...)
		}
	}
	return files
}

// errAnswer is returned when a program that was asked its version says something else.
var errAnswer = errors.New("no version")

// question is all that an answer depends on besides the program that is asked. Whether an engine can run containers
// depends on who runs it with what since when the machine runs.
func (c DetectConfig) question(d Definition) string {
	words := d.Detect.Ask
	if d.Name == Container {
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // where there is none, nothing tells starts apart
		words = slices.Concat(words, confined(), c.Container.Args, []string{strconv.Itoa(os.Getuid()), c.Home, string(boot)})
	}
	return strings.Join(words, "\x00")
}

func (c DetectConfig) ask(ctx context.Context, d Definition, file string) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	env := []string{"PATH=" + cmp.Or(c.Path, DefaultPath), "HOME=" + cmp.Or(c.Home, "/"), "LANG=C.UTF-8"}
	if d.Name == Container {
		env = engineEnv(cmp.Or(c.Path, DefaultPath), c.Home)
	}
	text, err := output(ctx, env, file, d.Detect.Ask...)
	if err != nil {
		return Found{}, fmt.Errorf("ask %s its version: %w", file, err)
	}
	f, err := d.answer(file, text)
	if err == nil && d.Name == Container {
		f, err = c.tryContainer(ctx, f)
	}
	return f, err
}

// output runs a program with that environment and gives what it writes, within bounds. Nothing of it stays when ctx
// ends.
func output(ctx context.Context, env []string, path string, args ...string) (string, error) {
	out, complaint := &bounded{left: maxAnswer}, &bounded{left: maxAnswer, quiet: true}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay, cmd.Stdout, cmd.Stderr = "/", env, time.Second, out, complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if said := strings.TrimSpace(complaint.String()); err != nil && said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return out.String(), err
}

// maxVersion bounds what is taken for a version, in bytes.
const maxVersion = 64

func (d Definition) answer(file, text string) (Found, error) {
	told, own, _ := strings.Cut(strings.TrimSpace(text), "\n")
	told = strings.TrimSpace(told)
	plain := func(r rune) bool { return r > ' ' && r < 0x7f }
	if told == "" || len(told) > maxVersion || strings.TrimFunc(told, plain) != "" {
		return Found{}, fmt.Errorf("ask %s its version: %w", file, errAnswer)
	}
	if own = strings.TrimSpace(own); filepath.IsAbs(own) && !strings.Contains(own, "\n") {
		file = own
	}
	return Found{Name: d.Name, Version: told, Path: file}, nil
}

// bounded takes that many bytes. What is more ends the program that writes it, or is dropped when it is quiet.
type bounded struct {
	bytes.Buffer
	left  int
	quiet bool
}

// Write takes what there is room for.
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	if n < len(p) && !b.quiet {
		return n, errAnswer
	}
	return len(p), nil
}
