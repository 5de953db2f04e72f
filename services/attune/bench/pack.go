package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/attune/attune/packs"
)

// packName names the benchmark's pack.
const packName = "bench"

// noopProgram is core.noop's program among the shipped packs.
const noopProgram = "core/actions/noop.sh"

// extractNoop writes core.noop's program where a bare loop can start it.
func extractNoop(dir string) (string, error) {
	b, err := packs.FS.ReadFile(noopProgram)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "noop")
	return file, os.WriteFile(file, b, 0o755)
}

// writePack writes the benchmark's pack. Its action mark says over a named pipe that it runs, with a builtin
// of the shell: that is its first instruction.
func writePack(dir, pipe string) (string, error) {
	folder := filepath.Join(dir, "pack")
	files := map[string]string{
		"pack.yaml":          "name: " + packName + "\nversion: 1.0.0\ndescription: What the benchmark runs.\n",
		"triggers/tick.yaml": "description: Run core.noop.\n",
		"triggers/mark.yaml": "description: Run bench.mark.\n",
		"rules/tick.yaml":    "trigger: bench.tick\naction: core.noop\n",
		"rules/mark.yaml":    "trigger: bench.mark\naction: bench.mark\nparameters:\n  n: ${{ event.payload.n }}\n",
		"triggers/line.yaml": "description: Run bench.line.\n",
		"rules/line.yaml":    "trigger: bench.line\naction: bench.line\n",
		"actions/line.yaml":  "description: Print a line.\nruntime: shell\nentry_point: line.sh\nvariables: false\n",
		"actions/line.sh":    "#!/bin/sh\necho this is the one line of output\n",
		"actions/mark.yaml":  "description: Say that it runs.\nruntime: shell\nentry_point: mark.sh\nvariables: false\nparameters:\n  type: object\n  properties:\n    n: {type: integer}\n",
		"actions/mark.sh":    fmt.Sprintf("#!/bin/sh\necho . > %s\n", pipe),
	}
	for name, text := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			return "", err
		}
	}
	return folder, nil
}
