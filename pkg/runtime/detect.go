package runtime

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"time"
)

// DefaultPath is where programs are looked for when nobody says otherwise.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// probeTime bounds how long an interpreter may take to tell its version.
const probeTime = 10 * time.Second

// Found is a runtime that this machine has.
type Found struct {
	Name    string
	Version string
	Path    string // absolute; "" for native programs, which need no interpreter
}

// Detect runs the interpreters that it finds in the folders of path, and reports for each runtime the first
// that tells its version.
func Detect(ctx context.Context, path string) []Found {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	found := make([]Found, len(definitions))
	var probes sync.WaitGroup
	for i, d := range definitions {
		probes.Go(func() { found[i] = d.detect(ctx, path) })
	}
	probes.Wait()
	all := []Found{{Name: Native, Version: goruntime.GOOS + "/" + goruntime.GOARCH}}
	for _, f := range found {
		if f.Path != "" {
			all = append(all, f)
		}
	}
	return all
}

func (d definition) detect(ctx context.Context, path string) Found {
	for _, name := range d.candidates {
		for _, file := range lookUp(path, name) {
			if f, err := d.ask(ctx, file); err == nil {
				return f
			}
		}
	}
	return Found{}
}

// lookUp lists the programs of a name in the folders of path.
func lookUp(path, name string) (files []string) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			files = append(files, file)
		}
	}
	return files
}

func (d definition) ask(ctx context.Context, file string) (Found, error) {
	cmd := exec.CommandContext(ctx, file, d.probe...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	out, err := cmd.Output()
	if err != nil {
		return Found{}, fmt.Errorf("ask %s its version: %w", file, err)
	}
	version, own, _ := strings.Cut(string(bytes.TrimSpace(out)), "\n")
	if version == "" {
		return Found{}, fmt.Errorf("ask %s its version: no answer", file)
	}
	if own = strings.TrimSpace(own); filepath.IsAbs(own) {
		file = own
	}
	return Found{Name: d.name, Version: strings.TrimSpace(version), Path: file}, nil
}
