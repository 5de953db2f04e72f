package figure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Report is the newest run of each mode.
type Report struct {
	Runs []*Run `json:"runs"`
}

// Read reads a report. A file that does not exist is an empty one.
func Read(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &Report{}, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read figures of %s: %w", file, err)
	}
	return r, nil
}

// Put adds a run in the place of an earlier one of the same mode.
func (r *Report) Put(run *Run) {
	if i := slices.IndexFunc(r.Runs, func(x *Run) bool { return x.Mode == run.Mode }); i >= 0 {
		r.Runs[i] = run
		return
	}
	r.Runs = append(r.Runs, run)
}

// Run gives the run of a mode, nil when there is none.
func (r *Report) Run(mode string) *Run {
	for _, run := range r.Runs {
		if run.Mode == mode {
			return run
		}
	}
	return nil
}

// Write writes the report as JSON, whole or not at all.
func (r *Report) Write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	fresh := file + ".new"
	if err := os.WriteFile(fresh, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}
