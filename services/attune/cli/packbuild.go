package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/source"
)

// archived is an archive that was made of a pack.
type archived struct {
	Pack    string `json:"pack"`
	Version string `json:"version"`
	File    string `json:"file"`
	Digest  string `json:"digest"`
	SHA256  string `json:"sha256"`
	Size    int    `json:"size"`
}

func packBuild(a *app) *cobra.Command {
	var out string
	c := command("build DIR", "Make the archive of a pack, to put where others fetch it; needs no server",
		"attune pack build packs/examples/github --out github.tar.zst", cobra.ExactArgs(1),
		a.offline(func(ctx context.Context, s *session, args []string) error {
			c, err := a.fetch(ctx, s, source.Request{Text: args[0]})
			if err != nil {
				return err
			}
			sum := sha256.Sum256(c.Archive)
			done := archived{
				Pack: c.Pack.Name, Version: c.Pack.Version, Digest: c.Digest, SHA256: hex.EncodeToString(sum[:]), Size: len(c.Archive),
				File: first(out, c.Pack.Name+"-"+c.Pack.Version+".tar.zst"),
			}
			if err := writeNew(done.File, c.Archive, out != ""); err != nil {
				return err
			}
			s.note("install it from where you put it with: attune pack install https://HOST/%s#sha256=%s", done.File, done.SHA256)
			return s.said(done, "%s holds pack %s %s: %d bytes, sha256 %s", done.File, done.Pack, done.Version, done.Size, done.SHA256)
		}))
	c.Flags().StringVar(&out, "out", "", "file to write; NAME-VERSION.tar.zst when it is not given")
	must(c.MarkFlagFilename("out"))
	c.ValidArgsFunction = nil // files
	return c
}

// writeNew writes a file. One that is there already is replaced only when the user named it, or when it is the same.
func writeNew(name string, content []byte, replace bool) error {
	old, err := os.ReadFile(name)
	switch {
	case err == nil && string(old) == string(content):
		return nil
	case err == nil && !replace:
		return hinted(fmt.Errorf("%s is there already, with other content", name), "raise the version in pack.yaml, or name a file with --out")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return os.WriteFile(name, content, 0o644) //nolint:gosec // it is made for others to read
}
