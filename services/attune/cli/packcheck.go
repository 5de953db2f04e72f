package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/source"
)

// checked is what the check of a pack found.
type checked struct {
	Path     string        `json:"path"`
	OK       bool          `json:"ok"`
	Pack     string        `json:"pack,omitempty"`
	Version  string        `json:"version,omitempty"`
	Digest   string        `json:"digest,omitempty"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	Mistakes pack.Mistakes `json:"mistakes"` // all findings, remarks too

	contents string
}

// checkFlags say how the findings are judged and shown.
type checkFlags struct {
	from   sourceFlags
	strict bool
	format string
}

func packCheck(a *app) *cobra.Command {
	var f checkFlags
	c := command("check SOURCE", "Check a pack without installing it: mistakes, warnings and remarks; needs no server",
		"attune pack check packs/examples/github\nattune pack check . --strict --format github", cobra.ExactArgs(1),
		a.offline(func(ctx context.Context, s *session, args []string) error {
			if f.format != "text" && f.format != "github" {
				return WithExit(fmt.Errorf("--format %q: want text or github", f.format), ExitUsage)
			}
			found, err := a.check(ctx, s, f.from.request(args[0]), f.strict)
			if err != nil {
				return err
			}
			if err := s.findings(found, f.format); err != nil || found.OK {
				return err
			}
			return WithExit(errQuiet, ExitFailed)
		}))
	f.from.flags(c)
	c.Flags().BoolVar(&f.strict, "strict", false, "let warnings fail the check")
	c.Flags().StringVar(&f.format, "format", "text", "how findings are written: text, or github for annotations of a workflow")
	must(c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "github"}, cobra.ShellCompDirectiveNoFileComp)))
	c.ValidArgsFunction = a.completeSource
	return c
}

// check looks for mistakes; an error means that it could not.
func (a *app) check(ctx context.Context, s *session, r source.Request, strict bool) (checked, error) {
	found := checked{Path: r.Text, Mistakes: pack.Mistakes{}}
	known, err := runtimeNames()
	if err != nil {
		return found, err
	}
	t, err := a.open(ctx, s, r)
	if err != nil {
		return found, err
	}
	p, all := pack.Check(os.DirFS(t.Dir), pack.CheckOptions{Runtimes: known})
	for _, m := range all {
		found.Errors += count(m.Code.Severity() == pack.SeverityError)
		found.Warnings += count(m.Code.Severity() == pack.SeverityWarning)
	}
	found.Mistakes = append(found.Mistakes, placed(t, all)...)
	found.OK = found.Errors == 0 && (!strict || found.Warnings == 0)
	if p.Name == "" {
		return found, t.Close()
	}
	found.Pack, found.Version, found.contents = p.Name, p.Version, contents(api.Pack{
		Actions: make([]string, len(p.Actions)), Triggers: make([]string, len(p.Triggers)),
		Sensors: make([]string, len(p.Sensors)), Rules: make([]string, len(p.Rules)),
	})
	found.Digest, _, err = pack.Archive(t.Dir)
	return found, errors.Join(err, t.Close())
}

// runtimeNames lists the runtimes that runners have without further ado, or that this machine's operator defines.
func runtimeNames() ([]string, error) {
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	defs, err := runtime.Definitions(runtimeDirs(cfg)...)
	names := make([]string, len(defs))
	for i, d := range defs {
		names[i] = d.Name
	}
	return names, err
}

// findings shows what a check found.
func (s *session) findings(found checked, format string) error {
	if s.format != formatTable {
		return s.data(found)
	}
	for _, m := range found.Mistakes {
		if format == "github" {
			fmt.Fprintln(s.out, annotation(m))
		} else {
			s.finding(m)
		}
	}
	if format == "github" {
		return nil
	}
	_, err := fmt.Fprintln(s.out, found.summary())
	return err
}

func (c checked) summary() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Errors, "error"}, {c.Warnings, "warning"}, {len(c.Mistakes) - c.Errors - c.Warnings, "remark"}} {
		if part.n > 0 {
			parts = append(parts, plural(part.n, part.what))
		}
	}
	found := strings.Join(parts, ", ")
	switch {
	case c.Errors > 0:
		return "pack " + cmp.Or(c.Pack, c.Path) + " has " + found
	case found != "":
		found = "; " + found
	}
	return "pack " + c.Pack + " " + c.Version + " has no mistakes: " + c.contents + found
}

// finding shows one, with what to do about it.
func (s *session) finding(m pack.Mistake) {
	text := m.String()
	if place, ok := strings.CutSuffix(text, m.Message); ok {
		text = place + s.severe(m.Code) + " " + m.Message
	}
	fmt.Fprintln(s.out, clean(text))
	if m.Hint != "" {
		fmt.Fprintln(s.out, s.paint.dim("    "+clean(m.Hint)))
	}
}

func (s *session) severe(c pack.Code) string {
	switch c.Severity() {
	case pack.SeverityError:
		return s.paint.bad(string(c))
	case pack.SeverityWarning:
		return s.paint.warn(string(c))
	default:
		return s.paint.dim(string(c))
	}
}

// annotation writes a finding as a command of a GitHub workflow.
func annotation(m pack.Mistake) string {
	level := map[pack.Severity]string{pack.SeverityError: "error", pack.SeverityWarning: "warning", pack.SeverityInfo: "notice"}[m.Code.Severity()]
	place := "file=" + forProperty.Replace(m.File)
	if m.Line > 0 {
		place += fmt.Sprintf(",line=%d,col=%d", m.Line, m.Column)
	}
	text := m.Message
	if m.Hint != "" {
		text += "\n" + m.Hint
	}
	return fmt.Sprintf("::%s %s,title=%s::%s", level, place, m.Code, forMessage.Replace(text))
}

var (
	forMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	forProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
