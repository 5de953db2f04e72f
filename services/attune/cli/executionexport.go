package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// exporting is what the export of an execution was asked for with.
type exporting struct {
	id    string
	file  string // "-": stdout
	force bool
}

func executionExport(a *app) *cobra.Command {
	var x exporting
	c := command("export ID [-o FILE|-]", "Write an execution with its output to a tar archive",
		"attune execution export 0199f3a0-7d1c-7000-8000-000000000001\n"+
			"attune execution export 0199f3a0-7d1c-7000-8000-000000000001 -o - | tar -xO stdout.log",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error { return x.write(ctx, s) }))
	c.Long = `Write an execution to a tar archive: execution.json, attempts.json, result.json where there is one, stdout.log and
stderr.log, and manifest.json, which says how long each is, its SHA-256, and what of the output is missing. Of an
execution that runs it holds what there is now.`
	c.Flags().StringVarP(&x.file, "output", "o", "", "file to write, - for stdout; ID.tar when it is not given")
	c.Flags().BoolVar(&x.force, "force", false, "replace a file that is there")
	c.PreRunE = func(c *cobra.Command, args []string) error { return x.check(c, args[0]) }
	must(c.MarkFlagFilename("output"))
	return completing(c, a.complete(executionIDs))
}

// check chooses the file, which an id names only when it is one.
func (x *exporting) check(c *cobra.Command, id string) error {
	if _, err := uuid.Parse(id); err != nil || len(id) != len(uuid.Nil.String()) {
		return usageError(c, fmt.Errorf("%q is no execution's id", id))
	}
	x.id, x.file = id, first(x.file, id+".tar")
	if x.file == "-" && isTerminal(c.OutOrStdout()) {
		return usageError(c, errors.New("an archive is nothing for a terminal: name a file with -o, or send it through a pipe"))
	}
	return nil
}

func (x *exporting) write(ctx context.Context, s *session) error {
	seen := &transfer{progress: newProgress(s)}
	defer seen.progress.done()
	if x.file == "-" {
		seen.w = s.out
		return s.api.Export(ctx, x.id, seen)
	}
	if err := x.mayWrite(); err != nil {
		return err
	}
	if err := x.replace(ctx, s, seen); err != nil {
		return err
	}
	seen.progress.done()
	return s.said(nil, "%s holds execution %s: %d bytes", x.file, x.id, seen.n)
}

// mayWrite refuses to write to what is there, unless that was asked for and it is a file.
func (x *exporting) mayWrite() error {
	info, err := os.Lstat(x.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is there already and is no plain file", x.file)
	case !x.force:
		return hinted(fmt.Errorf("%s is there already", x.file), "replace it with --force, or name another file with -o")
	}
	return nil
}

// replace writes the file under another name first, so that there is a whole one or none.
func (x *exporting) replace(ctx context.Context, s *session, seen *transfer) (err error) {
	f, err := os.CreateTemp(filepath.Dir(x.file), ".attune-export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	seen.w = f
	if err := errors.Join(s.api.Export(ctx, x.id, seen), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), x.file)
}

// transfer counts what passes to a writer and shows how much that was.
type transfer struct {
	w        io.Writer
	n        int64
	progress *progress
}

func (p *transfer) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	before := p.n >> 20
	if p.n += int64(n); p.n>>20 != before {
		p.progress.say("%d MiB received", p.n>>20)
	}
	return n, err
}
