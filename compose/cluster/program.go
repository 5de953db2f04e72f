package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is one process of the cluster, started again when it dies. How it ends is written to its log, and its
// process id is in a file while it runs.
type program struct {
	name     string
	argv     []string
	env      []string
	log, pid string // files
}

// errEarly is returned when a program ends before the cluster was ready.
var errEarly = errors.New("ended while the cluster was starting")

const (
	pause = time.Second // before a program that died is started again, as a service manager does it
	grace = time.Minute // for a program that was told to end; a runner drains in it
)

// run runs the program until ctx ends, and then lets it drain. Before the cluster is ready an end is a failure:
// whatever caused it is there to be seen. Afterwards it is started again.
func (p *program) run(ctx context.Context, ready <-chan struct{}, say *slog.Logger) error {
	for {
		cmd, ended, err := p.start()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return p.stop(cmd, ended)
		case err := <-ended:
			select {
			case <-ready:
				say.WarnContext(ctx, "process ended, starting it again", slog.String("name", p.name), slog.String("how", ending(err)))
			default:
				return fmt.Errorf("%s %w: %s\n%s", p.name, errEarly, ending(err), p.lastLines())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// start starts the program, in a group of its own so that a Ctrl-C at the terminal does not reach it before its
// turn, and from a thread that lives as long as it does: the kernel kills it when that thread is gone.
func (p *program) start() (*exec.Cmd, <-chan error, error) {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close() //nolint:errcheck // the program wrote it
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return cmd, ended, os.WriteFile(p.pid, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600)
}

// stop asks the program to end, and kills it when it does not.
func (p *program) stop(cmd *exec.Cmd, ended <-chan error) error {
	defer os.Remove(p.pid)                  //nolint:errcheck // the next start writes it anew
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", p.name, err, p.lastLines())
		}
		return nil
	case <-time.After(grace):
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		return fmt.Errorf("%s did not end within %s and was killed; see %s", p.name, grace, p.log)
	}
}

// tail is how much of a log is worth repeating.
const tail = 2 << 10

// lastLines is the end of what the program said.
func (p *program) lastLines() string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // it is only read
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		_, _ = f.Seek(-tail, io.SeekEnd) // else it is read from its beginning
	}
	text, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-5):], "\n  ") + "\n  (" + filepath.ToSlash(p.log) + ")"
}
