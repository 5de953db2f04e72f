package scale

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startPatience bounds the start of a part.
const startPatience = 60 * time.Second

// report is a line that a part writes to its standard output.
type report struct {
	Msg   string `json:"msg"`
	Level string `json:"level"`
	Heap  uint64 `json:"heap"` // in use after a collection

	// Of a scheduler that has begun to lead; its log says so in these words.
	Waiting   int           `json:"waiting"`
	Running   int           `json:"running"`
	RebuiltIn time.Duration `json:"rebuilt_in"`
}

// What parts report.
const (
	reportReady   = "ready"
	reportHeap    = "heap"
	reportLeading = "leading"
)

// part is a process of the measurement.
type part struct {
	name    string
	cmd     *exec.Cmd
	reports chan report
	ended   chan struct{} // closed when the process has ended
}

// launch starts this program once more as one of its parts.
func launch(name, dir string, args ...string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &part{name: name, cmd: exec.Command(self, args...), reports: make(chan report, 64), ended: make(chan struct{})}
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.read(out)
	return p, nil
}

// own starts the process from a thread that lives as long as it does: the kernel kills the process when that thread
// ends, which it does with this program, however that dies.
func (p *part) own(started chan<- error) {
	runtime.LockOSThread() // the thread ends with this goroutine
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // it says that it was killed
	}
	close(p.ended)
}

func (p *part) read(out io.Reader) {
	defer close(p.reports)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		switch r.Msg {
		case reportReady, reportHeap, reportLeading:
			p.reports <- r
		}
		if r.Level == slog.LevelWarn.String() || r.Level == slog.LevelError.String() { // the figures are worth less
			fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, lines.Bytes())
		}
	}
}

// await gives the next report of a kind.
func (p *part) await(ctx context.Context, msg string) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return report{}, fmt.Errorf("%s does not report %q: %w", p.name, msg, ctx.Err())
		case r, open := <-p.reports:
			if !open {
				return report{}, fmt.Errorf("%s has ended instead of reporting %q", p.name, msg)
			}
			if r.Msg == msg {
				return r, nil
			}
		}
	}
}

// heap gives the bytes that the part has in use.
func (p *part) heap(ctx context.Context) (uint64, error) {
	if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return 0, err
	}
	r, err := p.await(ctx, reportHeap)
	return r.Heap, err
}

// profile begins or ends a processor profile.
func (p *part) profile() error { return p.cmd.Process.Signal(syscall.SIGUSR1) }

// kill ends the part at once; it says nothing more to anybody.
func (p *part) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// ticksPerSecond is Linux's unit of processor time in /proc, on every architecture that Go runs on.
const ticksPerSecond = 100

// cpu gives the processor time that the part has used.
func (p *part) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	const user, system = 11, 12 // counted after the name
	if len(fields) <= system {
		return 0
	}
	var ticks int
	for _, text := range []string{fields[user], fields[system]} {
		n, _ := strconv.Atoi(text) // the kernel writes numbers
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// listen is the other side of a part: it says its heap when asked and writes profiles into dir.
func listen(ctx context.Context, name, dir string, w io.Writer) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	p := profiler{name: name, dir: dir}
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				p.toggle()
				continue
			}
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(w, `{"msg":%q,"heap":%d}`+"\n", reportHeap, m.HeapAlloc)
		}
	}
}

// profiler writes one processor profile after the other.
type profiler struct {
	name, dir string
	n         int
	file      *os.File
}

func (p *profiler) toggle() {
	if p.dir == "" {
		return
	}
	if p.file != nil {
		pprof.StopCPUProfile()
		_ = p.file.Close() // a profile is for reading now or never
		p.file = nil
		return
	}
	p.n++
	f, err := os.Create(filepath.Join(p.dir, fmt.Sprintf("%s.%d.pprof", p.name, p.n)))
	if err != nil {
		return
	}
	if pprof.StartCPUProfile(f) == nil {
		p.file = f
	}
}
