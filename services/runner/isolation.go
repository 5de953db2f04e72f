package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/sandbox"
)

// Isolation says what programs are kept from. The zero value keeps them from everything that pkg/sandbox can.
type Isolation struct {
	None   bool          // programs may do whatever the runner may
	Hidden []string      // files and folders that none may reach, besides the runner's own
	Read   []string      // what all may read, besides what anybody on the machine may
	Write  []string      // what all may change
	Users  sandbox.Range // where the runner is root: users of which each program has its own; the zero value: none
}

// isolate opens the sandbox. A machine that cannot isolate programs has no runner, unless the operator says that it need
// not.
func (r *Runner) isolate() (err error) {
	defer func() { r.metrics.isolated(r.sandbox.Features()) }()
	if r.Isolation.None {
		r.log.Warn("actions are not isolated: they may do whatever the runner may")
		return nil
	}
	if err := sandbox.Protect(); err != nil {
		return err
	}
	hidden := append(slices.Clone(r.Isolation.Hidden), r.place.dir, r.packsDir())
	r.sandbox, err = sandbox.Open(sandbox.Config{
		Dir: filepath.Join(r.place.dir, "sandbox"), Hidden: hidden, Read: r.Isolation.Read, Write: r.Isolation.Write, Users: r.Isolation.Users,
	})
	if err != nil {
		return fmt.Errorf("%w; ATTUNE_ISOLATION=none runs them as they are", err)
	}
	if err := r.sandbox.Show(true, r.place.work); err != nil {
		return err
	}
	return r.sandbox.Show(false, r.packsDir(), r.place.wrappers)
}

func (r *Runner) packsDir() string {
	if r.PacksDir != "" {
		return r.PacksDir
	}
	return r.place.packs
}

// closeSandbox gives up what programs were put into. None runs any more.
func (r *Runner) closeSandbox() error {
	if r.sandbox == nil {
		return nil
	}
	return r.sandbox.Close()
}

// show lists what a program of an environment must reach, and has the rooms that programs run in show it.
func (r *Runner) show(env *environment.Environment, p *program) error {
	if r.sandbox == nil || p.command.Contained() {
		return nil
	}
	found, _, _ := env.Interpreter(p.Runtime)
	reach := []string{env.Pack, env.Env(p.Runtime), r.place.wrappers}
	for _, file := range append([]string{p.command.Path, found.Path}, programsIn(append(filepath.SplitList(r.Path), p.command.Folders...))...) {
		reach = append(reach, homeOf(file)...)
	}
	slices.Sort(reach)
	for _, path := range slices.Compact(reach) {
		if _, err := os.Stat(path); err == nil && path != "" {
			p.reach = append(p.reach, path)
		}
	}
	return r.sandbox.Show(false, p.reach...)
}

// programsIn gives a name in each folder, so that the folder is treated like that of a program.
func programsIn(dirs []string) []string {
	var files []string
	for _, dir := range dirs {
		if filepath.IsAbs(dir) {
			files = append(files, filepath.Join(dir, "*"))
		}
	}
	return files
}

// binaries are folders that stand beside what their programs need: lib, share, versions.
var binaries = []string{"bin", "sbin", "shims"}

// homeOf gives the folder that a program needs of the machine: the installation that it belongs to, or its own folder
// where that is somebody's home.
func homeOf(file string) (dirs []string) {
	if file == "" {
		return nil
	}
	files := []string{file}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		files = append(files, real)
	}
	home, _ := os.UserHomeDir() // without one there is none to keep closed
	for _, f := range files {
		dir := filepath.Dir(f)
		if up := filepath.Dir(dir); slices.Contains(binaries, filepath.Base(dir)) && up != "/" && up != home && up != filepath.Join(home, ".local") {
			dir = up
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// settle gives a seat to the user that a program is to have, and says what the program may do. It is nil for
// one that is not isolated: the engine of a container isolates by itself. The user is to be given back in any case.
func (r *Runner) settle(s *seat, p *program) (*sandbox.Policy, uint32, error) {
	if r.sandbox == nil || p.command.Contained() {
		return nil, 0, nil
	}
	user, err := r.sandbox.TakeUser()
	if err != nil {
		return nil, 0, err
	}
	if user != 0 {
		if err := s.give(user); err != nil {
			return nil, user, err
		}
	}
	return &sandbox.Policy{
		Read: p.reach, Write: []string{s.dir}, User: user,
		Limits: sandbox.Limits{Memory: p.Resources.Memory.Bytes(), Processes: p.Resources.Processes, CPU: p.Resources.CPU},
	}, user, nil
}

// give has a user own the folder of the seat.
func (s *seat) give(user uint32) error {
	if err := os.Lchown(s.dir, int(user), int(user)); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	return nil
}
