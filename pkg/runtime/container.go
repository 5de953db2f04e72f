package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/pack"
)

// ErrRootfs is returned when an action wants a root file system that the operator does not allow.
var ErrRootfs = errors.New("root file system is not allowed here")

// ContainerConfig is what an operator says of containers.
type ContainerConfig struct {
	Args   []string // more arguments of the engine's command run; they come last and win
	Rootfs []string // folders below which actions may name root file systems
	Home   string   // HOME of the engine, which keeps images of ordinary users there
}

// Folders in a container.
const (
	containerPack = "/attune/pack"
	containerWork = "/attune/work"
)

// container is what the commands of an action of runtime container have in common.
type container struct {
	engine  Found
	args    []string // of every execution
	program string   // as the container sees it
	source  []string // the image, or the root file system
}

// Limits of a container unless the operator's arguments say otherwise.
const (
	containerMemory = "512m"
	containerPids   = "256"
	containerTmp    = "/tmp:rw,nosuid,nodev,size=64m"
)

// confined are the arguments that keep a container from everything that it was not given. The limits on files and
// processes are this process's own at most: to raise them is not allowed to everybody, and podman tries.
func confined() []string {
	args := []string{
		"--rm", "--interactive", "--pull=missing", "--log-driver=passthrough", "--user=0:0", "--systemd=false", "--http-proxy=false",
		"--read-only", "--read-only-tmpfs=false", "--tmpfs=" + containerTmp, "--cap-drop=all", "--security-opt=no-new-privileges",
		"--pids-limit=" + containerPids, "--memory=" + containerMemory,
	}
	var files, processes unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		args = append(args, fmt.Sprintf("--ulimit=nofile=%d:%d", min(files.Max, 1<<10), min(files.Max, 1<<16)))
	}
	if unix.Getrlimit(unix.RLIMIT_NPROC, &processes) == nil {
		args = append(args, fmt.Sprintf("--ulimit=nproc=%d:%[1]d", min(processes.Max, 1<<12)))
	}
	return args
}

// containerCommand tells how to start an action in a container.
func (s *Set) containerCommand(at Location, a pack.Action) (Command, error) {
	if a.Container == nil {
		return Command{}, fmt.Errorf("it does not say in which container: %w", ErrEntryPoint)
	}
	program, err := containerProgram(at.Pack, a)
	if err != nil {
		return Command{}, err
	}
	source, err := s.source(at.Pack, *a.Container)
	if err != nil {
		return Command{}, err
	}
	network := a.Container.Network
	if network == "" {
		network = pack.NetworkNone
	}
	if strings.ContainsAny(at.Pack, ":,") {
		return Command{}, fmt.Errorf("folder %s: a path with a colon or comma cannot be had in a container: %w", at.Pack, ErrEntryPoint)
	}
	args := append(confined(), "--network="+string(network), "--volume="+at.Pack+":"+containerPack+":ro", "--label="+s.ownerLabel())
	c := &container{engine: at.Interpreter, args: args, program: program, source: source}
	return Command{Path: at.Interpreter.Path, container: c}, nil
}

// containerProgram gives the path of an entry point in the container: a file of the pack, or an absolute path there.
func containerProgram(packDir string, a pack.Action) (string, error) {
	if filepath.IsAbs(a.EntryPoint) {
		return filepath.Clean(a.EntryPoint), nil
	}
	e, err := entry(packDir, a)
	if err == nil && e.function != "" {
		err = fmt.Errorf("%s: runtime container has no functions, and %q would be one: %w", e.name, e.function, ErrEntryPoint)
	}
	return containerPack + "/" + filepath.ToSlash(filepath.Clean(e.name)), err
}

// imageName keeps the name of an image from being an option or a file.
var imageName = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]*$`)

// source gives the arguments that name the image or root file system. A root file system gets a layer of its own to
// be changed in, so that it stays as it is.
func (s *Set) source(packDir string, c pack.Container) ([]string, error) {
	if c.Rootfs == "" {
		if !imageName.MatchString(c.Image) {
			return nil, fmt.Errorf("image %q: %w", c.Image, ErrEntryPoint)
		}
		return []string{c.Image}, nil
	}
	dir, below := c.Rootfs, s.container.Rootfs
	if !filepath.IsAbs(dir) {
		dir, below = filepath.Join(packDir, dir), []string{packDir}
	}
	at, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("rootfs %s: %w", c.Rootfs, errors.Join(ErrRootfs, err))
	}
	within := func(parent string) bool {
		return parent != "" && strings.HasPrefix(at+"/", real(filepath.Clean(parent))+"/")
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() || strings.ContainsAny(at, ":,") || !slices.ContainsFunc(below, within) {
		return nil, fmt.Errorf("rootfs %s: %w: it is a folder of the pack, or below one of ATTUNE_ROOTFS_DIRS", c.Rootfs, ErrRootfs)
	}
	return []string{"--rootfs", at + ":O"}, nil
}

// start gives what to start for an execution: the engine, which starts the program.
func (c *container) start(s *Set, i Identity) Program {
	words := slices.Concat(c.engine.global(), []string{"run", "--name=" + containerName(i)}, c.args)
	words = append(words, "--volume="+i.WorkDir+":"+containerWork+":rw", "--workdir="+containerWork)
	for _, text := range (Identity{
		Execution: i.Execution, Action: i.Action, Attempt: i.Attempt, WorkDir: containerWork,
		ResultFile: filepath.Join(containerWork, filepath.Base(i.ResultFile)),
	}).strings() {
		words = append(words, "--env="+text)
	}
	words = append(words, "--entrypoint="+c.program)
	words = slices.Concat(words, s.container.Args)
	return Program{Path: c.engine.Path, Args: slices.Concat(words, c.source), Env: slices.Concat(engineEnv(s.path, s.container.Home), []string{
		EnvExecution + "=" + i.Execution, EnvResultFile + "=" + i.ResultFile,
	})}
}

// global are the arguments of the engine before its command. What it warns of is nothing to the action, in whose log it
// would stand.
func (f Found) global() []string {
	args := []string{"--log-level=error"}
	if f.OCI != "" {
		args = append(args, "--runtime="+f.OCI)
	}
	return args
}

// engineEnv is the environment of the engine, which no program sees.
func engineEnv(path, home string) []string {
	env := []string{"PATH=" + path, "HOME=" + home, "LANG=C.UTF-8"}
	if dir := "/run/user/" + strconv.Itoa(os.Getuid()); os.Getuid() != 0 && isFolder(dir) {
		env = append(env, "XDG_RUNTIME_DIR="+dir)
	}
	return env
}

func isFolder(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

func containerName(i Identity) string {
	return "attune-" + notInNames.ReplaceAllString(i.Execution, "-") + "-" + strconv.Itoa(i.Attempt)
}

// ownerLabel marks the containers of whoever has the folder that the Set was made with.
func (s *Set) ownerLabel() string {
	sum := sha256.Sum256([]byte(s.dir))
	return "attune.owner=" + hex.EncodeToString(sum[:8])
}

// Clear removes what an execution that did not end by itself left of its container. It does nothing for commands that
// run in none.
func (s *Set) Clear(ctx context.Context, c Command, i Identity) error {
	if c.container == nil {
		return nil
	}
	if err := s.remove(ctx, c.container.engine, "name=^"+regexp.QuoteMeta(containerName(i))+"$"); err != nil {
		return fmt.Errorf("remove container %s: %w", containerName(i), err)
	}
	return nil
}

// ClearAll removes the containers that an earlier process with the same folder left: it was killed.
func (s *Set) ClearAll(ctx context.Context) error {
	for _, f := range s.found {
		if f.Name != Container {
			continue
		}
		if err := s.remove(ctx, f, "label="+s.ownerLabel()); err != nil {
			return fmt.Errorf("remove containers that were left: %w", err)
		}
	}
	return nil
}

// removals is how often a container is removed: of one whose processes were killed the engine first learns that it
// has ended, and fails.
const removals = 3

// remove removes the containers that the filter describes. The OCI runtime goes first: of a container whose monitor was
// killed the engine does not tell it to clear its cgroup.
func (s *Set) remove(ctx context.Context, engine Found, filter string) error {
	env := engineEnv(s.path, s.container.Home)
	ids, err := output(ctx, env, engine.Path, append(engine.global(), "ps", "--all", "--quiet", "--no-trunc", "--filter="+filter)...)
	if err != nil || strings.TrimSpace(ids) == "" {
		return err
	}
	for id := range strings.FieldsSeq(ids) {
		if engine.OCI != "" {
			_, _ = output(ctx, env, engine.OCI, "delete", "--force", id) // one that it does not know is as good
		}
	}
	args := slices.Concat(engine.global(), []string{"rm", "--force", "--ignore", "--time=0"}, strings.Fields(ids))
	for range removals {
		if _, err = output(ctx, env, engine.Path, args...); err == nil {
			return nil
		}
	}
	return err
}
