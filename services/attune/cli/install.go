package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
)

// maxArchive bounds an archive, as the API does.
const maxArchive = 64 << 20

func packInstall(a *app) *cobra.Command {
	c := command("install PATH", "Install a pack from its folder or archive, or put another version in its place",
		"attune pack install packs/examples/github\nattune pack install github-1.2.0.tar.gz", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			archive, err := archiveOf(args[0])
			if err != nil {
				return err
			}
			done, err := s.api.InstallPack(ctx, archive, "")
			if err != nil {
				return err
			}
			return s.said(done, "%s", installedText(done))
		}))
	c.ValidArgsFunction = nil // files
	return c
}

// archiveOf gives the archive of a pack's folder, whose mistakes are found here already, or of a file.
func archiveOf(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hinted(fmt.Errorf("pack %s: there is no such folder or archive", path), "name a folder with a pack.yaml, or a tar of one")
	case err != nil:
		return nil, err
	case !info.IsDir() && info.Size() > maxArchive:
		return nil, fmt.Errorf("pack %s is over %d MiB", path, maxArchive>>20)
	case !info.IsDir():
		return os.ReadFile(path)
	}
	if _, err := pack.Load(path); err != nil {
		return nil, inFolder(path, err)
	}
	_, archive, err := pack.Archive(path)
	return archive, inFolder(path, err)
}

// inFolder names the files of mistakes as they are named from here.
func inFolder(path string, err error) error {
	var mistakes pack.Mistakes
	if !errors.As(err, &mistakes) {
		return err
	}
	return fmt.Errorf("pack %s has %s; nothing is installed\n%w", path, plural(len(mistakes), "mistake"), placed(path, mistakes))
}

func placed(path string, mistakes pack.Mistakes) pack.Mistakes {
	out := make(pack.Mistakes, len(mistakes))
	for i, m := range mistakes {
		m.File = filepath.Join(path, filepath.FromSlash(m.File))
		out[i] = m
	}
	return out
}

func installedText(p api.PackInstalled) string {
	name := "pack " + p.Name + " " + p.Version
	switch p.Change {
	case "unchanged":
		return name + " was installed already; nothing has changed"
	case "upgraded":
		if p.Was != "" && p.Was != p.Version {
			return name + " is installed in place of " + p.Was + ": " + contents(p.Pack)
		}
		return name + " is installed in place of another of this version: " + contents(p.Pack)
	}
	return name + " is installed: " + contents(p.Pack)
}

// contents counts what a pack defines.
func contents(p api.Pack) string {
	var parts []string
	for _, k := range []struct {
		n    int
		what string
	}{{len(p.Actions), "action"}, {len(p.Triggers), "trigger"}, {len(p.Sensors), "sensor"}, {len(p.Rules), "rule"}} {
		if k.n > 0 {
			parts = append(parts, plural(k.n, k.what))
		}
	}
	return first(strings.Join(parts, ", "), "nothing in it")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// checked is what the check of a pack found.
type checked struct {
	Path     string        `json:"path"`
	OK       bool          `json:"ok"`
	Pack     string        `json:"pack,omitempty"`
	Version  string        `json:"version,omitempty"`
	Digest   string        `json:"digest,omitempty"`
	Mistakes pack.Mistakes `json:"mistakes"`

	contents string
}

func packCheck(a *app) *cobra.Command {
	c := command("check PATH", "Check a pack's folder or archive without installing it; needs no server", "attune pack check packs/examples/github",
		cobra.ExactArgs(1), a.offline(func(_ context.Context, s *session, args []string) error {
			found, err := check(args[0])
			if err != nil {
				return err
			}
			if found.OK {
				return s.said(found, "pack %s %s has no mistakes: %s", found.Pack, found.Version, found.contents)
			}
			if s.format == formatTable {
				return fmt.Errorf("pack %s has %s\n%w", args[0], plural(len(found.Mistakes), "mistake"), found.Mistakes)
			}
			if err := s.data(found); err != nil {
				return err
			}
			return WithExit(errQuiet, ExitFailed)
		}))
	c.ValidArgsFunction = nil // files
	return c
}

// check looks for mistakes; an error means that it could not.
func check(path string) (checked, error) {
	found := checked{Path: path, Mistakes: pack.Mistakes{}}
	folder, clean, err := folderOf(path)
	if err != nil {
		return found, err
	}
	defer clean()
	p, err := pack.Load(folder)
	if err == nil {
		found.Digest, _, err = pack.Archive(folder)
	}
	if mistakes, ok := errors.AsType[pack.Mistakes](err); ok {
		found.Mistakes = placed(path, mistakes)
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.OK, found.Pack, found.Version = true, p.Name, p.Version
	found.contents = contents(api.Pack{
		Actions: make([]string, len(p.Actions)), Triggers: make([]string, len(p.Triggers)),
		Sensors: make([]string, len(p.Sensors)), Rules: make([]string, len(p.Rules)),
	})
	return found, nil
}

// folderOf gives a pack's folder, unpacking an archive into one that clean removes.
func folderOf(path string) (folder string, clean func(), err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path, func() {}, nil
	}
	archive, err := archiveOf(path)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "attune-check-")
	if err != nil {
		return "", nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) } // what stays behind is temporary
	folder = filepath.Join(dir, "pack")
	if _, err := pack.Unpack(bytes.NewReader(archive), folder, pack.DefaultLimits()); err != nil {
		clean()
		return "", nil, fmt.Errorf("pack %s: %w", path, err)
	}
	return pack.Root(folder), clean, nil
}
