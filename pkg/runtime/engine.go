package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// nothing is a program that no container has: an engine that complains of it has got as far as starting it.
const nothing = "/attune-nothing"

// errEngine is returned when a container engine is there and cannot run a container.
var errEngine = errors.New("it cannot run a container")

// tryContainer makes a container of an empty folder, with the arguments that every action's has, to see that the
// engine can: many are installed where they cannot, for want of rights or of a working runtime beneath them.
func (c DetectConfig) tryContainer(ctx context.Context, engine Found) (Found, error) {
	empty, err := os.MkdirTemp("", "attune-rootfs-")
	if err != nil {
		return Found{}, fmt.Errorf("try %s: %w", engine.Path, err)
	}
	defer func() { _ = os.RemoveAll(empty) }() // it is in the folder for what is temporary
	var errs []error
	for _, name := range []string{"", "runc", "crun"} {
		files := lookUp(c.Path, name)
		if name == "" {
			files = []string{""} // the engine's own choice
		}
		for _, oci := range files {
			engine.OCI = oci
			err := c.tryOCI(ctx, engine, empty)
			if err == nil {
				engine.OCI, err = c.oci(ctx, engine)
			}
			if err == nil {
				return engine, nil
			}
			errs = append(errs, err)
		}
	}
	return Found{}, fmt.Errorf("try %s: %w: %w", engine.Path, errEngine, errors.Join(errs...))
}

func (c DetectConfig) tryOCI(ctx context.Context, engine Found, empty string) error {
	args := slices.Concat(engine.global(), []string{"run"}, confined(), []string{"--network=none"}, c.Container.Args)
	_, err := output(ctx, engineEnv(c.Path, c.Home), engine.Path, append(args, "--rootfs", empty+":O", nothing)...)
	if err == nil {
		return errEngine
	}
	if said := err.Error(); strings.Contains(said, nothing) && strings.Contains(strings.ToLower(said), "no such file") {
		return nil
	}
	return fmt.Errorf("run: %w", err)
}

// oci asks an engine which OCI runtime it uses.
func (c DetectConfig) oci(ctx context.Context, engine Found) (string, error) {
	text, err := output(ctx, engineEnv(c.Path, c.Home), engine.Path, append(engine.global(), "info", "--format={{.Host.OCIRuntime.Path}}")...)
	if path := strings.TrimSpace(text); err != nil || filepath.IsAbs(path) {
		return path, err
	}
	return "", fmt.Errorf("ask for the OCI runtime: %w: %q", errAnswer, text)
}
