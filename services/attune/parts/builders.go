package parts

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/retention"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/pkg/sensor"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/services/rules"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/services/scheduler"
	"github.com/attune/attune/services/sensors"
	"github.com/attune/attune/streams"
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
	keys, err := secretKeys(p.Config, p.DataDir)
	if err != nil {
		return nil, err
	}
	secrets, err := secret.OpenWith(ctx, secret.Config{DB: p.DB, Sources: keys, Logger: log})
	if err != nil {
		return nil, err
	}
	secure, err := serverTLS(p.Config.HTTPCert, p.Config.HTTPKey)
	if err != nil {
		return nil, err
	}
	return api.New(ctx, api.Config{
		Bus: b, DB: p.DB, Secrets: secrets, Listener: p.Listener, TLS: secure, Token: p.Token, Version: p.Version, BuildTimeout: p.Config.BuildTimeout,
		RequestRate: p.Config.RequestRate, OIDC: oidcOf(p.Config), Logs: p.Config.LogLimits(), Logger: log, Registry: p.Registry,
	})
}

// oidcOf gives the service that proves users, if there is one.
func oidcOf(c config.Config) *api.OIDC {
	if c.OIDCIssuer == "" {
		return nil
	}
	o := &api.OIDC{
		Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret, PublicURL: c.OIDCPublicURL,
		UserClaim: c.OIDCUserClaim, GroupsClaim: c.OIDCGroupsClaim,
	}
	for _, r := range c.OIDCRoles() {
		o.Roles = append(o.Roles, api.GroupRole{Group: r.Group, Role: access.Role(r.Role), Pack: r.Pack})
	}
	return o
}

func buildSensors(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	secrets, err := secret.NewClient(b.Conn)
	if err != nil {
		return nil, err
	}
	host, err := sensor.New(sensor.Config{
		Bus: b, DB: p.DB, ID: p.ID, DataDir: filepath.Join(p.DataDir, "sensors"), Grace: p.Config.Grace, Rate: p.Config.SensorRate,
		Environments: sensorEnvironments(p.Config), Secrets: secrets, Logger: log, Registerer: p.Registry,
	})
	if err != nil {
		return nil, err
	}
	return sensors.New(sensors.Config{Bus: b, DB: p.DB, ID: p.ID, Host: host, Logger: log, Registerer: p.Registry})
}

func sensorEnvironments(c config.Config) sensor.Environments {
	e := sensor.Environments{
		PacksDir: c.PacksDir, RuntimePath: filepath.SplitList(c.RuntimePath),
		Options: c.BuildOptions(), Env: c.BuildEnviron(), Timeout: c.BuildTimeout, MaxBytes: c.BuildMaxBytes,
	}
	if c.RuntimesDir != "" {
		e.RuntimeDirs = []string{c.RuntimesDir}
	}
	return e
}

func buildRules(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return rules.New(rules.Config{Bus: b, DB: p.DB, ID: p.ID, Logger: log, Registerer: p.Registry})
}

func buildScheduler(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	return scheduler.New(scheduler.Config{Bus: b, DB: p.DB, ID: p.ID, Aging: p.Config.Aging, Logger: log, Registerer: p.Registry})
}

func buildRunner(_ context.Context, p Process, b *bus.Bus, _ *slog.Logger) (lifecycle.Service, error) {
	secrets, err := secret.NewClient(b.Conn)
	if err != nil {
		return nil, err
	}
	return runner.New(runner.Config{
		Bus: b, Name: p.Config.RunnerName, Pool: p.Config.Pool, Slots: p.Config.Slots, DataDir: filepath.Join(p.DataDir, "runner"),
		PacksDir: p.Config.PacksDir, Builds: runner.Builds{
			Options: p.Config.BuildOptions(), Env: p.Config.BuildEnviron(), Timeout: p.Config.BuildTimeout, MaxBytes: p.Config.BuildMaxBytes,
		},
		Logs: p.Config.LogLimits(), RuntimePath: p.Config.RuntimePath, RuntimesDir: p.Config.RuntimesDir, Isolation: isolation(p),
		Containers: runtime.ContainerConfig{Args: strings.Fields(p.Config.ContainerArgs), Rootfs: filepath.SplitList(p.Config.RootfsDirs)},
		Labels:     streams.Labels(p.Config.Labels), Grace: p.Config.Grace, DrainTimeout: p.Config.Drain, Secrets: secrets, Build: p.Version,
		WarmMemory: int64(p.Config.WarmMemory), WarmAge: p.Config.WarmAge,
		Logger: p.Logger, Registerer: p.Registry, // its lines name the service by themselves
	})
}

// isolation keeps actions from the whole data folder and from every file with credentials.
func isolation(p Process) runner.Isolation {
	c := p.Config
	return runner.Isolation{
		None: c.Isolation == config.IsolationNone, Hidden: append(c.CredentialFiles(), p.DataDir, filepath.Join(p.DataDir, "postgres")),
		Read: filepath.SplitList(c.IsolationRead), Write: filepath.SplitList(c.IsolationWrite), Users: c.ActionUsers(),
	}
}

func buildRecorder(_ context.Context, p Process, b *bus.Bus, log *slog.Logger) (lifecycle.Service, error) {
	c := p.Config
	return recorder.New(recorder.Config{
		Bus: b, DB: p.DB, Owner: p.ID, Forward: c.Forwarding(), SweepEvery: c.RetentionEvery, Logger: log, Registerer: p.Registry,
		Retention: retention.Policies{
			Logs:    retention.Policy{Age: time.Duration(c.LogRetentionAge), Count: c.LogRetentionCount, Bytes: int64(c.LogRetentionBytes)},
			History: time.Duration(c.HistoryRetentionAge),
		},
	})
}
