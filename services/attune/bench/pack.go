package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/attune/attune/packs"
	"github.com/attune/attune/services/attune/bench/beacon"
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

// Triggers of the benchmark's pack and what they lead to.
const (
	triggerNoop = "tick" // core.noop
	triggerTiny = "mark" // the program that sends a beacon, as an action without a limit
	triggerLine = "line" // a program that prints a line
	triggerHook = "hook" // the same as triggerTiny, by webhook

	triggerKeyed = "keyed" // one at a time for each key
)

// spread is how many actions with a limit of 1 the pack has.
const spread = 100

// spreadTriggers are the triggers that lead to one of these each.
func spreadTriggers() (all []string) {
	for i := range spread {
		all = append(all, fmt.Sprintf("spread%d", i))
	}
	return all
}

// writePack writes the benchmark's pack with a program that sends beacons.
func writePack(dir string, beacons netip.AddrPort) (string, error) {
	noop, err := packs.FS.ReadFile(noopProgram)
	if err != nil {
		return "", err
	}
	files := map[string]string{
		"pack.yaml":          "name: " + packName + "\nversion: 1.0.0\ndescription: What the benchmark runs.\n",
		"triggers/tick.yaml": "description: Run core.noop.\n",
		"triggers/mark.yaml": "description: Run bench.mark.\n",
		"triggers/hook.yaml": "description: Run bench.mark.\nwebhook:\n  scheme: none\n  allow_unauthenticated: true\n",
		"triggers/line.yaml": "description: Run bench.line.\n",
		"rules/tick.yaml":    "trigger: bench.tick\naction: core.noop\n",
		"rules/mark.yaml":    "trigger: bench.mark\naction: bench.mark\n",
		"rules/hook.yaml":    "trigger: bench.hook\naction: bench.mark\n",
		"rules/line.yaml":    "trigger: bench.line\naction: bench.line\n",
		"actions/mark.yaml":  "description: Say that it runs.\nruntime: native\nentry_point: mark\n",
		"actions/mark":       string(beacon.Program(beacons)),
		"actions/line.yaml":  "description: Print a line.\nruntime: shell\nentry_point: line.sh\nvariables: false\n",
		"actions/line.sh":    "#!/bin/sh\necho this is the one line of output\n",
		"actions/noop.sh":    string(noop),

		"triggers/keyed.yaml": "description: Run bench.keyed.\n",
		"rules/keyed.yaml":    "trigger: bench.keyed\naction: bench.keyed\nparameters: {key: \"${{ event.payload.key }}\"}\n",
		"actions/keyed.yaml":  "description: Do nothing, one at a time for each key.\nruntime: shell\nentry_point: noop.sh\nconcurrency: {limit: 1, key: params.key}\nparameters:\n  type: object\n  properties: {key: {type: string}}\n",
	}
	for _, name := range spreadTriggers() {
		files["triggers/"+name+".yaml"] = "description: Run bench." + name + ".\n"
		files["rules/"+name+".yaml"] = "trigger: bench." + name + "\naction: bench." + name + "\n"
		files["actions/"+name+".yaml"] = "description: Do nothing, one at a time.\nruntime: shell\nentry_point: noop.sh\nconcurrency: {limit: 1}\n"
	}
	folder := filepath.Join(dir, "pack")
	return folder, writeFiles(folder, files)
}

// writeFiles writes files, all of them executable.
func writeFiles(folder string, files map[string]string) error {
	for name, text := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}
