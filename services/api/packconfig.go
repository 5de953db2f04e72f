package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/installer"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

func (s *Server) routePackConfig(a huma.API) {
	const tag = "Packs"
	register(s, a, op(mayAt(access.View, access.Packs, "name", "pack"), http.MethodGet, "/packs/{name}/config", "show-pack-config", tag, "Show the configuration of a pack", http.StatusNotFound), s.showPackConfig)
	set := op(mayAt(access.Edit, access.Packs, "name", "pack"), http.MethodPut, "/packs/{name}/config", "set-pack-config", tag, "Set the configuration of a pack, all of it", http.StatusNotFound)
	set.Description = "It must fit the schema that the pack declares, and outlives its versions."
	register(s, a, set, s.setPackConfig)
}

func (s *Server) showPackConfig(_ context.Context, in *ByName) (*reply[wire.PackConfig], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	p, ok := v.Packs[in.Name]
	if !ok {
		return nil, notFound("pack", in.Name)
	}
	return answer(wire.PackConfig{Config: p.Config, Schema: p.Schema}), nil
}

type packConfigInput struct {
	ByName
	Body wire.PackConfig
}

// setPackConfig keeps the configuration in PostgreSQL, and then puts it where runners and sensors read it. When that
// fails the installer does it later.
func (s *Server) setPackConfig(ctx context.Context, in *packConfigInput) (*reply[wire.PackConfig], error) {
	if err := s.mayConfigure(ctx, in); err != nil {
		return nil, err
	}
	err := s.store.SetPackConfig(ctx, in.Name, in.Body.Config)
	var faults schema.Faults
	switch {
	case errors.Is(err, definitions.ErrNotFound):
		return nil, notFound("pack", in.Name)
	case errors.As(err, &faults):
		return nil, unfit(wire.CodeInvalidConfig, "config", faults)
	case errors.Is(err, definitions.ErrBadConfig):
		return nil, problem(http.StatusBadRequest, wire.CodeInvalidConfig, "config: "+err.Error(), wire.FieldError{Field: "config", Message: err.Error()})
	case err != nil:
		return nil, err
	}
	s.noteConfig(ctx, in)
	s.log.InfoContext(ctx, "pack configured", slog.String(logging.Pack, in.Name), slog.String("by", caller(ctx)))
	if _, err := onBus(ctx, s, func(ctx context.Context) (*nothing, error) { return nil, s.publishConfig(ctx, in.Name) }); err != nil {
		s.log.WarnContext(ctx, "configuration reaches runners later", slog.String(logging.Pack, in.Name), slog.Any(logging.Error, err))
	}
	if err := s.defs.refresh(ctx); err != nil {
		return nil, err
	}
	return s.showPackConfig(ctx, &in.ByName)
}

// noteConfig says for the audit which settings there were and are. Values are left out: any may be a secret.
func (s *Server) noteConfig(ctx context.Context, in *packConfigInput) {
	var was, is map[string]json.RawMessage
	if v, err := s.defs.view(); err == nil {
		_ = json.Unmarshal(v.Packs[in.Name].Config, &was) // it was checked when it was set
	}
	_ = json.Unmarshal(in.Body.Config, &is)
	note(ctx, in.Name, map[string]any{"settings": sortedKeys(was)}, map[string]any{"settings": sortedKeys(is)})
}

// mayConfigure refuses a configuration that refers to secrets that the caller may not use: actions of the pack will.
func (s *Server) mayConfigure(ctx context.Context, in *packConfigInput) error {
	config, err := strictjson.ParseObject(in.Body.Config)
	if err != nil {
		return misread(wire.CodeInvalidConfig, "config", err)
	}
	return s.mayRefer(ctx, referring{doc: config, home: in.Name, field: "config", code: wire.CodeInvalidConfig, kinds: []marker.Kind{marker.Named}})
}

func (s *Server) publishConfig(ctx context.Context, name string) error {
	kv, err := s.config.Bus.JS.KeyValue(ctx, streams.BucketConfigs)
	if err != nil {
		return err
	}
	return installer.PutConfig(ctx, kv, s.store, name)
}
