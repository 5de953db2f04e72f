package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/packwatch"
	"github.com/attune/attune/pkg/source"
)

// still is how long a pack's files must not change before it is installed again.
const still = 300 * time.Millisecond

func packDev(a *app) *cobra.Command {
	var test bool
	c := command("dev DIR", "Install a pack again whenever its files change, until Ctrl-C", "attune pack dev packs/github --test", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			w, err := packwatch.New(dir, still)
			if err != nil {
				return err
			}
			defer w.Close() //nolint:errcheck // the program is about to end
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return w.Run(ctx) })
			d := &developer{app: a, session: s, dir: dir, test: test}
			g.Go(func() error { d.keep(ctx, w.Changed()); return nil })
			return g.Wait()
		}))
	c.Flags().BoolVar(&test, "test", false, "run the pack's tests first, and install it only when they pass")
	c.ValidArgsFunction = nil // files
	return c
}

// developer keeps a pack installed as it is in its folder.
type developer struct {
	*app
	*session
	dir    string
	test   bool
	digest string // of what was seen last
}

// keep installs the pack now and after every change, whatever comes of it.
func (d *developer) keep(ctx context.Context, changed <-chan struct{}) {
	for {
		if err := d.bring(ctx); err != nil && ctx.Err() == nil {
			PrintError(d.errw, err)
			d.digest = "" // it is tried again at the next change, also when that takes everything back
		}
		if ctx.Err() == nil {
			fmt.Fprintf(d.errw, "%s waiting for changes in %s; Ctrl-C ends\n", time.Now().Format(time.TimeOnly), d.dir)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// bring checks, tests and installs the pack, if it is another than before.
func (d *developer) bring(ctx context.Context) error {
	found, err := d.fetch(ctx, d.session, source.Request{Text: d.dir})
	if err != nil || found.Digest == d.digest {
		return err
	}
	d.digest = found.Digest
	if d.test {
		results, err := d.testPack(ctx, d.session, d.dir, regexp.MustCompile(""), false)
		if err != nil {
			return err
		}
		if err := d.tested(d.dir, results); err != nil {
			fmt.Fprintln(d.errw, "tests fail; nothing is installed")
			return err
		}
	}
	return (&installing{when: api.SwitchAll}).run(ctx, d.session, found)
}
