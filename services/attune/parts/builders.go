package parts

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/services/rules"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/services/scheduler"
	"github.com/attune/attune/services/sensors"
)

// builder makes a service from what the process has, on a connection of its own.
type builder func(context.Context, Process, *bus.Bus, *slog.Logger) (lifecycle.Service, error)

var builders = map[string]builder{
	API:       buildAPI,
	Sensors:   buildSensors,
	Rules:     buildRules,
	Scheduler: buildScheduler,
	Runner:    buildRunner,
	Recorder:  buildRecorder,
}

func buildAPI(ctx context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	secrets, err := secret.Open(ctx, p.DB, filepath.Join(p.DataDir, "keys", "secrets.key"))
	if err != nil {
		return nil, err
	}
	return api.New(ctx, api.Config{
		Bus: b, DB: p.DB, Secrets: secrets, Listener: p.Listener, Token: p.Token, Version: p.Version,
		Logger: log, Registry: p.Registry,
	})
}

func buildSensors(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return sensors.New(sensors.Config{Bus: b, DB: p.DB, ID: p.ID, Logger: log, Registerer: p.Registry})
}

func buildRules(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return rules.New(rules.Config{Bus: b, DB: p.DB, ID: p.ID, Logger: log, Registerer: p.Registry})
}

func buildScheduler(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return scheduler.New(scheduler.Config{Bus: b, DB: p.DB, ID: p.ID, Logger: log, Registerer: p.Registry})
}

func buildRunner(_ context.Context, p Process, b *bus.Bus, _ *slog.Logger) (lifecycle.Service, error) {
	secrets, err := secret.NewClient(b.Conn)
	if err != nil {
		return nil, err
	}
	return runner.New(runner.Config{
		Bus: b, Name: p.Config.RunnerName, Pool: p.Config.Pool, Slots: p.Config.Slots, DataDir: filepath.Join(p.DataDir, "runner"),
		Grace: p.Config.Grace, DrainTimeout: p.Config.Drain, Secrets: secrets, Build: p.Version,
		Logger: p.Logger, Registerer: p.Registry, // its lines name the service by themselves
	})
}

func buildRecorder(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return recorder.New(recorder.Config{Bus: b, DB: p.DB, Logger: log, Registerer: p.Registry})
}
