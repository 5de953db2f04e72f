package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/skeleton"
)

// created is a pack to begin with.
type created struct {
	Pack  string   `json:"pack"`
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
}

func packCreate(a *app) *cobra.Command {
	var language, dir string
	all := strings.Join(skeleton.Languages(), ", ")
	c := command("create NAME", "Make a pack to begin with: an action, a trigger, a rule and tests; needs no server",
		"attune pack create greeter --language python", cobra.ExactArgs(1),
		a.offline(func(ctx context.Context, s *session, args []string) error {
			into := first(dir, args[0])
			files, err := skeleton.Make(ctx, skeleton.Config{Name: args[0], Language: language, Dir: into})
			if errors.Is(err, skeleton.ErrExists) {
				return hinted(err, "name an empty folder with --dir")
			}
			if err != nil {
				return err
			}
			s.note("next: attune pack test %s", into)
			return s.said(created{Pack: args[0], Dir: into, Files: files}, "pack %s is in %s: %s", args[0], into, plural(len(files), "file"))
		}))
	c.Flags().StringVar(&language, "language", "python", "what its action is written in: "+all)
	c.Flags().StringVar(&dir, "dir", "", "folder of the pack, which is made; NAME when it is not given")
	must(c.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(skeleton.Languages(), cobra.ShellCompDirectiveNoFileComp)))
	must(c.MarkFlagDirname("dir"))
	return c
}
