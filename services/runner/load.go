package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/attune/attune/pkg/pack"
)

// readActions reads the actions of an unpacked pack. It was checked when it was installed.
func readActions(dir string) (map[string]pack.Action, error) {
	files, err := filepath.Glob(filepath.Join(dir, "actions", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read actions: %w", err)
	}
	actions := map[string]pack.Action{}
	var errs []error
	for _, file := range files {
		a, err := readAction(file)
		a.Name = strings.TrimSuffix(filepath.Base(file), ".yaml")
		actions[a.Name] = a
		errs = append(errs, err)
	}
	return actions, errors.Join(errs...)
}

func readAction(file string) (pack.Action, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return pack.Action{}, fmt.Errorf("read action: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return pack.Action{}, fmt.Errorf("read action %s: %w", file, err)
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return pack.Action{}, fmt.Errorf("read action %s: %w", file, err)
	}
	var a pack.Action
	if err := json.Unmarshal(raw, &a); err != nil {
		return pack.Action{}, fmt.Errorf("read action %s: %w", file, err)
	}
	return a, nil
}
