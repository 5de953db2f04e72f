package figure

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrPlace is returned when a document does not say where figures belong.
var ErrPlace = errors.New("no place for figures")

// The lines between which figures stand in a document.
const (
	placeBegins = "<!-- figures of %s: written by `bench report` -->"
	placeEnds   = "<!-- end of figures -->"
)

// Document writes the runs of a report into the places of a Markdown file, and their plots into a folder beside it that
// is named like the file. A place without a run stays as it is; a run without a place is an error.
func (r *Report) Document(file string) error {
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return err
	}
	text, folder := string(b), strings.TrimSuffix(file, filepath.Ext(file))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, run := range r.Runs {
		if text, err = run.place(text, filepath.Base(folder)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, p := range run.Plots {
			if err := p.write(filepath.Join(folder, p.Name+".svg")); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // a document that anybody may read
}

// place puts a run between its lines.
func (r *Run) place(text, folder string) (string, error) {
	begins := fmt.Sprintf(placeBegins, r.Mode)
	before, rest, found := strings.Cut(text, begins)
	_, after, ended := strings.Cut(rest, placeEnds)
	if !found || !ended {
		return "", fmt.Errorf("%w of %s: the lines %q and %q are missing", ErrPlace, r.Mode, begins, placeEnds)
	}
	var b strings.Builder
	b.WriteString(before + begins + "\n\n")
	r.Markdown(&b)
	for _, p := range r.Plots {
		fmt.Fprintf(&b, "\n![%s](%s)\n", p.Title, path.Join(folder, p.Name+".svg"))
	}
	b.WriteString("\n" + placeEnds + after)
	return b.String(), nil
}

func (p *Plot) write(file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(p.SVG(f), f.Close())
}
