package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/client"
)

// app is what all commands share: the flags of the root.
type app struct {
	version string
	apiURL  string
	token   string
	dataDir string
	output  string
}

func (a *app) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.apiURL, "api-url", "", "address of the API (ATTUNE_API_URL; else as attune.json in the data folder says)")
	f.StringVar(&a.token, "token", "", "API token; better give it as ATTUNE_TOKEN, which ps does not show")
	f.StringVar(&a.dataDir, "data", "", "data folder of a local Attune (ATTUNE_DATA_DIR)")
	f.StringVarP(&a.output, "output", "o", formatTable, "what to print: "+strings.Join(formats, ", "))
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
	must(root.MarkPersistentFlagDirname("data"))
}

// must is for what can only fail by a mistake in this package.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// session is what one run of a command works with.
type session struct {
	*view
	api  *client.Client
	in   io.Reader
	errw io.Writer
}

// do makes a command's function of one that needs the API. Its context ends with the first interrupt; a second
// one ends the program.
func (a *app) do(run func(context.Context, *session, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		v, err := a.view(c)
		if err != nil {
			return err
		}
		api, err := a.connect(c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer api.Close()
		return interruptible(c, &session{view: v, api: api, in: c.InOrStdin(), errw: c.ErrOrStderr()}, run, args)
	}
}

// interruptible runs a command until it ends or the first interrupt comes.
func interruptible(c *cobra.Command, s *session, run func(context.Context, *session, []string) error, args []string) error {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return interrupted(ctx, run(ctx, s, args))
}

// interrupted gives the end of a command that the user stopped: what the command says of it, or nothing, because
// the user knows.
func interrupted(ctx context.Context, err error) error {
	var own *exitError
	if err == nil || ctx.Err() == nil || errors.As(err, &own) {
		return err
	}
	return WithExit(errQuiet, ExitInterrupted)
}

// offline makes a command's function of one that needs no API. Its context ends as that of do.
func (a *app) offline(run func(context.Context, *session, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		v, err := a.view(c)
		if err != nil {
			return err
		}
		return interruptible(c, &session{view: v, in: c.InOrStdin(), errw: c.ErrOrStderr()}, run, args)
	}
}

// getter is a method of the client that gets one thing by its name.
type getter[T any] func(c *client.Client, ctx context.Context, name string) (T, error)

// one makes a command's function of one that shows the thing which its single argument names.
func one[T any](a *app, get getter[T], show func(*sheet, T)) func(*cobra.Command, []string) error {
	return a.do(func(ctx context.Context, s *session, args []string) error {
		thing, err := get(s.api, ctx, args[0])
		if err != nil {
			return err
		}
		return showOne(s.view, thing, show)
	})
}
