package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packindex"
	"github.com/attune/attune/pkg/source"
)

// sourceFlags say more of where a pack is.
type sourceFlags struct {
	sha256, ref, subdir string
	allowBranch         bool
}

func (f *sourceFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.sha256, "sha256", "", "SHA-256 that the archive must have")
	c.Flags().StringVar(&f.ref, "ref", "", "tag or full commit id of a repository")
	c.Flags().StringVar(&f.subdir, "subdir", "", "folder of the pack within a repository or archive")
	c.Flags().BoolVar(&f.allowBranch, "allow-branch", false, "let --ref be a branch, which is another commit tomorrow")
	for _, name := range []string{"sha256", "ref", "subdir"} {
		must(c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
}

func (f *sourceFlags) request(text string) source.Request {
	return source.Request{Text: text, SHA256: f.sha256, Ref: f.ref, Subdir: f.subdir, AllowBranch: f.allowBranch}
}

// passedToGit are the variables that git gets: where programs are, and how to reach the network.
var passedToGit = []string{"PATH", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"}

// fetcher fetches packs as the environment says.
func (a *app) fetcher() (source.Fetcher, error) {
	cfg, err := config.Load()
	if err != nil {
		return source.Fetcher{}, err
	}
	keys, err := packindex.ParseKeys(cfg.PackIndexKey)
	if err != nil {
		return source.Fetcher{}, WithExit(fmt.Errorf("ATTUNE_PACK_INDEX_KEY: %w", err), ExitUsage)
	}
	f := source.Fetcher{Index: cfg.PackIndex, Keys: keys, State: filepath.Join(first(a.dataDir, cfg.DataDir), "client")}
	for _, name := range passedToGit {
		if value, ok := os.LookupEnv(name); ok {
			f.Environ = append(f.Environ, name+"="+value)
		}
	}
	return f, nil
}

// open gives the folder of a pack from wherever it is. The caller closes it.
func (a *app) open(ctx context.Context, s *session, r source.Request) (*source.Tree, error) {
	f, err := a.fetcher()
	if err != nil {
		return nil, err
	}
	p := newProgress(s)
	f.Progress = func(done, total int64) { p.say("fetching %s: %s", r.Text, share(done, total)) }
	t, err := f.Open(ctx, r)
	p.done()
	return t, sourceHint(err)
}

// share says how much of something is done, of which the whole may not be known.
func share(done, total int64) string {
	const kib = 1 << 10
	if total <= 0 {
		return fmt.Sprintf("%d KiB", done/kib)
	}
	return fmt.Sprintf("%d of %d KiB", done/kib, (total+kib-1)/kib)
}

// fetch gives a pack without mistakes from wherever it is.
func (a *app) fetch(ctx context.Context, s *session, r source.Request) (source.Checked, error) {
	t, err := a.open(ctx, s, r)
	if err != nil {
		return source.Checked{}, err
	}
	c, err := t.Check()
	if mistakes, ok := errors.AsType[pack.Mistakes](err); ok {
		err = fmt.Errorf("pack %s has %s; nothing is installed\n%w", r.Text, plural(len(mistakes), "mistake"), placed(t, mistakes))
	}
	return c, errors.Join(err, t.Close())
}

// placed names the files of mistakes as they are named from here.
func placed(t *source.Tree, mistakes pack.Mistakes) pack.Mistakes {
	if !t.Local() {
		return mistakes
	}
	out := slices.Clone(mistakes)
	for i, m := range out {
		out[i].File = filepath.Join(t.Dir, filepath.FromSlash(m.File))
	}
	return out
}

// sourceHint says what to do when a pack cannot be fetched.
func sourceHint(err error) error {
	untrusted, isUntrusted := errors.AsType[*packindex.UntrustedError](err)
	switch {
	case err == nil:
		return nil
	case isUntrusted && untrusted.Key != "":
		return hinted(err, "if that is the key which the maker of the index publishes, trust it with:", "ATTUNE_PACK_INDEX_KEY="+untrusted.Key)
	case isUntrusted:
		return hinted(err, "its maker signs it with: attune pack index build DIR --key FILE")
	case errors.Is(err, source.ErrNoKey):
		return hinted(err, "set ATTUNE_PACK_INDEX_KEY to the public key that the maker of the index publishes")
	case errors.Is(err, source.ErrNoIndex):
		return hinted(err, "name a folder with a pack.yaml, an archive, an https address or a git repository",
			"or set ATTUNE_PACK_INDEX to the folder or address of an index to install from it by name")
	case errors.Is(err, source.ErrNotFound):
		return hinted(err, "name a folder with a pack.yaml, an archive, an https address or a git repository")
	}
	return err
}

// completeSource offers the names of the index, else files.
func (a *app) completeSource(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	f, err := a.fetcher()
	if err != nil || f.Index == "" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(contextOf(c)), completionPatience)
	defer cancel()
	x, err := f.List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	words, _ := describe(x.Newest(), nil, func(e packindex.Entry) (string, string) { return e.Name, e.Description })
	return startingWith(typed, words), cobra.ShellCompDirectiveDefault
}
