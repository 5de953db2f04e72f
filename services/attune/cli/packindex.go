package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packindex"
	"github.com/attune/attune/pkg/source"
)

func packIndex(a *app) *cobra.Command {
	return group("index", "Indexes: signed lists of packs that can be installed by name", "attune pack index build packs --out public --key index.key",
		indexBuild(a), indexKey(a), indexList(a))
}

func indexKey(a *app) *cobra.Command {
	c := command("key FILE", "Make a key to sign indexes with, in a file that only you can read, and print its public part; needs no server",
		"attune pack index key index.key", cobra.ExactArgs(1),
		a.offline(func(_ context.Context, s *session, args []string) error {
			key, err := packindex.LoadKey(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				if key, err = packindex.NewKey(); err == nil {
					err = key.Save(args[0])
				}
			}
			if err != nil {
				return err
			}
			s.note("keep %s secret; others trust what it signs with ATTUNE_PACK_INDEX_KEY=%s", args[0], key.Public())
			return s.said(map[string]string{"file": args[0], "public_key": key.Public().String()}, "%s", key.Public())
		}))
	c.ValidArgsFunction = nil // files
	return c
}

// indexed is what building an index did.
type indexed struct {
	Folder     string            `json:"folder"`
	Generation int64             `json:"generation"`
	Signed     string            `json:"signed_by,omitempty"`
	New        []packindex.Entry `json:"new"`
	Packs      int               `json:"packs"`
}

func indexBuild(a *app) *cobra.Command {
	var out, keyFile string
	c := command("build DIR", "Put the packs of a folder into an index; needs no server", "attune pack index build packs --out public --key index.key",
		cobra.ExactArgs(1), a.offline(func(ctx context.Context, s *session, args []string) error {
			var key *packindex.PrivateKey
			if keyFile != "" {
				k, err := packindex.LoadKey(keyFile)
				if err != nil {
					return err
				}
				key = &k
			}
			packs, err := a.packsIn(ctx, s, args[0], out)
			if err != nil {
				return err
			}
			built, err := packindex.Build(out, packs, key)
			if err != nil {
				return err
			}
			return s.indexBuilt(out, built, key)
		}))
	c.Flags().StringVar(&out, "out", "index", "folder of the index, which is made")
	c.Flags().StringVar(&keyFile, "key", "", "private key to sign it with; see: attune pack index key")
	must(c.MarkFlagDirname("out"))
	c.ValidArgsFunction = nil // files
	return c
}

func (s *session) indexBuilt(out string, built packindex.Built, key *packindex.PrivateKey) error {
	done := indexed{Folder: out, Generation: built.Generation, New: orEmpty(built.New), Packs: len(built.Newest())}
	if key != nil {
		done.Signed = key.Public().String()
	} else {
		fmt.Fprintln(s.errw, "the index is not signed: nobody can install from it; name a key with --key")
	}
	names := make([]string, len(built.New))
	for i, e := range built.New {
		names[i] = e.Name + " " + e.Version
	}
	slices.Sort(names)
	return s.said(done, "index %s has %s, generation %d; new: %s", out, plural(done.Packs, "pack"), done.Generation,
		first(strings.Join(names, ", "), "nothing"))
}

// packsIn reads the packs of a folder: itself, or the folders and archives in it. Other files in it are passed over,
// and so is the index.
func (a *app) packsIn(ctx context.Context, s *session, dir, index string) ([]packindex.Added, error) {
	if isPack(dir) {
		one, err := a.addedFrom(ctx, s, dir)
		return []packindex.Added{one}, err
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var packs []packindex.Added
	for _, f := range found {
		name := filepath.Join(dir, f.Name())
		if sameFile(name, index) || f.IsDir() && !isPack(name) || !f.IsDir() && !isArchive(f.Name()) {
			continue
		}
		one, err := a.addedFrom(ctx, s, name)
		if err != nil {
			return nil, err
		}
		packs = append(packs, one)
	}
	if len(packs) == 0 {
		return nil, hinted(fmt.Errorf("folder %s: there is no pack in it", dir), "name a folder that holds folders with a pack.yaml, or archives")
	}
	return packs, nil
}

func isPack(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, pack.FileName))
	return err == nil
}

func isArchive(name string) bool {
	return slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

func sameFile(one, other string) bool {
	a, errA := os.Stat(one)
	b, errB := os.Stat(other)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (a *app) addedFrom(ctx context.Context, s *session, path string) (packindex.Added, error) {
	if !filepath.IsAbs(path) {
		path = "." + string(filepath.Separator) + path // whatever it is called, it is no name of an index
	}
	c, err := a.fetch(ctx, s, source.Request{Text: path})
	if err != nil {
		return packindex.Added{}, err
	}
	created, err := newest(path)
	return packindex.Added{Pack: c.Pack, Digest: c.Digest, Archive: c.Archive, Created: created}, err
}

// newest gives the time of the last change to a file, or to the files of a folder.
func newest(path string) (latest time.Time, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
		return err
	})
	return latest, err
}

func indexList(a *app) *cobra.Command {
	var all bool
	c := command("list [WORD]", "List the packs of the index, or those with a word in their name or description", "attune pack index list git",
		cobra.MaximumNArgs(1), a.offline(func(ctx context.Context, s *session, args []string) error {
			f, err := a.fetcher()
			if err != nil {
				return err
			}
			x, err := f.List(ctx)
			if err != nil {
				return sourceHint(err)
			}
			entries := x.Newest()
			if all {
				entries = x.Packs
			}
			entries = slices.DeleteFunc(entries, func(e packindex.Entry) bool { return len(args) > 0 && !mentions(e, args[0]) })
			return list(s.view, entries, "packs in the index "+f.Index, []column[packindex.Entry]{
				{title: "PACK", cell: func(e packindex.Entry) string { return e.Name }},
				{title: "VERSION", cell: func(e packindex.Entry) string { return e.Version }},
				{title: "CREATED", cell: func(e packindex.Entry) string { return ago(s.now, e.Created) }},
				{title: "DESCRIPTION", cell: func(e packindex.Entry) string { return e.Description }, flex: true},
			})
		}))
	c.Flags().BoolVar(&all, "all", false, "every version, not only the newest")
	c.ValidArgsFunction = func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		words, _ := a.completeSource(c, args, typed)
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// mentions tells whether a pack's name or description holds a word, in whatever case.
func mentions(e packindex.Entry, word string) bool {
	return strings.Contains(strings.ToLower(e.Name+"\n"+e.Description), strings.ToLower(word))
}
