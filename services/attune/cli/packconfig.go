package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/strictjson"
)

// maxConfig bounds a configuration that is read from stdin, as the API bounds a request.
const maxConfig = 1 << 20

func packConfig(a *app) *cobra.Command {
	return group("config", "The configuration of a pack: values that this installation sets", "attune pack config set github org=acme",
		completing(command("show NAME", "Show the configuration of a pack", "attune pack config show github", cobra.ExactArgs(1),
			a.do(func(ctx context.Context, s *session, args []string) error {
				c, err := s.api.PackConfig(ctx, args[0])
				if err != nil {
					return err
				}
				return showOne(s.view, c, showPackConfig)
			})), a.complete(packNames)),
		packConfigSet(a))
}

func showPackConfig(s *sheet, c api.PackConfig) {
	s.json("config", c.Config)
	s.json("schema", c.Schema)
}

func packConfigSet(a *app) *cobra.Command {
	c := command("set NAME [key=value ...|-]", "Set values of a pack's configuration, or all of it from stdin",
		"attune pack config set github org=acme limit:=3\nattune pack config set github token=@secret:GITHUB_TOKEN\nattune pack config set github - < config.json", cobra.MinimumNArgs(2),
		a.do(func(ctx context.Context, s *session, args []string) error {
			config, err := s.configOf(ctx, args[0], args[1:])
			if err != nil {
				return err
			}
			done, err := s.api.SetPackConfig(ctx, args[0], config)
			if err != nil {
				return err
			}
			return s.said(done, "pack %s is configured", args[0])
		}))
	c.Long = `Set values of a pack's configuration. key=value sets one value, as the pack's schema says what it is; key:=JSON
sets any JSON, and key:=null takes the value away. What is not named stays. With - a JSON object from stdin takes the place of all.

key=@secret:NAME refers to a stored secret, of the pack or a global one: the value is put in just before a program of the
pack starts, and is stored, sent and shown nowhere else. What the schema marks secret: true must be given so.`
	return completing(c, a.complete(packNames))
}

// configOf makes the whole configuration of what the user said.
func (s *session) configOf(ctx context.Context, name string, args []string) (json.RawMessage, error) {
	if len(args) == 1 && args[0] == "-" {
		return s.readConfig()
	}
	now, err := s.api.PackConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	base := map[string]json.RawMessage{}
	if err := json.Unmarshal(now.Config, &base); err != nil {
		return nil, fmt.Errorf("configuration of pack %s: %w", name, err)
	}
	root, err := parseShape(now.Schema)
	if err != nil {
		return nil, err
	}
	values, rest, err := s.hidden(args, root, false)
	if err != nil {
		return nil, WithExit(err, ExitUsage)
	}
	whole, err := arguments(joined(base, values), rest, now.Schema)
	if err != nil {
		return nil, WithExit(err, ExitUsage)
	}
	return withoutNulls(whole)
}

func (s *session) readConfig() (json.RawMessage, error) {
	data, err := io.ReadAll(io.LimitReader(s.in, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if _, err := strictjson.ParseObject(data); err != nil {
		return nil, WithExit(fmt.Errorf("the configuration on stdin: want a JSON object: %w", err), ExitUsage)
	}
	return data, nil
}

// withoutNulls leaves out the values that were taken away.
func withoutNulls(config json.RawMessage) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	for key, value := range all {
		if string(value) == "null" {
			delete(all, key)
		}
	}
	return json.Marshal(all)
}
