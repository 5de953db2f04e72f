package historybench

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/services/attune/parts"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/streams"
)

// recorderPart is the first argument of the process that records.
const recorderPart = "history-recorder"

// IsPart tells whether the arguments are those of a process that the benchmark starts.
func IsPart(args []string) bool { return len(args) == 2 && args[0] == recorderPart }

// recorderConfig is the argument of the recorder's process.
type recorderConfig struct {
	NATS     string
	Database string
	Grace    time.Duration
	Profile  string
}

// Part is the recorder's process. It is told to stop by the end of its standard input.
func Part(ctx context.Context, args []string) error {
	var c recorderConfig
	if err := json.Unmarshal([]byte(args[1]), &c); err != nil {
		return err
	}
	parts.Tune() // as serve does
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := bus.Connect(ctx, bus.Config{URL: c.NATS, Name: "recorder"})
	if err != nil {
		return err
	}
	defer b.Close()
	db, err := database.Open(ctx, c.Database, database.Options{Name: "recorder", Logger: log})
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := recorder.New(recorder.Config{Bus: b, DB: db, Grace: c.Grace, Logger: log})
	if err != nil {
		return err
	}
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// startRecorder starts this program once more as a recorder.
func startRecorder(c recorderConfig) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, recorderPart, string(arg))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// startBus starts a NATS server in this process, with Attune's streams.
func startBus(ctx context.Context, dir string) (*server.Server, *bus.Bus, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPayload: natsserver.MaxPayload,
		JetStream: true, StoreDir: filepath.Join(dir, "nats"),
	})
	if err != nil {
		return nil, nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return nil, nil, errors.New("the NATS server is not ready")
	}
	b, err := bus.Connect(ctx, bus.Config{URL: s.ClientURL(), Name: "bench"})
	if err != nil {
		return nil, nil, err
	}
	return s, b, streams.Ensure(ctx, b.JS, streams.Options{})
}

// recording is what recording took.
type recording struct {
	executions         int
	took               time.Duration
	recorder, postgres time.Duration // processor time
}

// record has executions recorded at a rate, and measures the processor time of the recorder and of PostgreSQL.
func (b *Bench) record(ctx context.Context) (r recording, err error) {
	dir, err := os.MkdirTemp(b.o.Scratch, "nats-")
	if err != nil {
		return r, err
	}
	srv, conn, err := startBus(ctx, dir)
	if err != nil {
		return r, err
	}
	defer func() { conn.Close(); srv.Shutdown(); srv.WaitForShutdown() }()
	cmd, err := startRecorder(recorderConfig{NATS: srv.ClientURL(), Database: b.url, Grace: b.o.Grace, Profile: b.o.Profile})
	if err != nil {
		return r, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it has ended when it is not there
		err = errors.Join(err, cmd.Wait())
	}()
	db, err := postgresOf(ctx, b.db)
	if err != nil {
		return r, err
	}
	t := &traffic{bus: conn, rate: b.o.Rate}
	if err := t.run(ctx, b.o.Rate*2); err != nil { // to warm up
		return r, err
	}
	ownBefore, dbBefore, began := used(cmd.Process.Pid), db.used(), time.Now()
	if err := t.run(ctx, b.o.Recorded); err != nil {
		return r, err
	}
	if err := t.awaitRecorded(ctx); err != nil {
		return r, err
	}
	r = recording{executions: b.o.Recorded, took: time.Since(began), recorder: used(cmd.Process.Pid) - ownBefore, postgres: db.used() - dbBefore}
	return r, nil
}

// add says what each execution took: of a core at 1,000 a second a millisecond would be all.
func (r recording) add(run *figure.Run) {
	each := func(d time.Duration) float64 { return figure.Microseconds(d) / float64(r.executions) }
	run.Add(figure.Figure{Name: "recorder's processor time at 1,000 executions/s", Of: "a core"}, each(r.recorder)/1000)
	run.Add(figure.Figure{Name: "recorder's processor time per execution", Unit: "µs"}, each(r.recorder))
	run.Add(figure.Figure{Name: "PostgreSQL's processor time per execution", Unit: "µs"}, each(r.postgres))
	run.Add(figure.Figure{Name: "recorded executions", Unit: "/s"}, float64(r.executions)/r.took.Seconds())
}
