package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/attune/attune/pkg/api"
)

// maxSecret bounds a secret's value, as the API does.
const maxSecret = 64 << 10

func secretCommand(a *app) *cobra.Command {
	return group("secret", "Secrets: values that actions get and nobody sees", "attune secret set API_KEY < key.txt",
		secretSet(a), secretList(a), secretDelete(a))
}

func secretSet(a *app) *cobra.Command {
	return command("set NAME [VALUE|-]", "Set a secret, from stdin or a prompt that does not show it",
		"attune secret set API_KEY               # asks, without showing what is typed\nattune secret set API_KEY - < key.txt\nop read op://vault/key | attune secret set API_KEY",
		cobra.RangeArgs(1, 2), a.do(func(ctx context.Context, s *session, args []string) error {
			value, err := s.secretValue(args)
			if err != nil {
				return err
			}
			secret, err := s.api.SetSecret(ctx, args[0], value)
			if err != nil {
				return err
			}
			return s.said(secret, "secret %s is set", args[0])
		}))
}

// secretValue takes the value from where nobody else can read it, if the user lets us.
func (s *session) secretValue(args []string) (string, error) {
	if len(args) == 2 && args[1] != "-" {
		fmt.Fprintln(s.errw, "attune: a value on the command line can be seen by others (ps, shell history); better give it on stdin")
		return args[1], nil
	}
	if f, ok := s.in.(*os.File); ok && len(args) == 1 && term.IsTerminal(int(f.Fd())) {
		return s.ask(f, args[0])
	}
	data, err := io.ReadAll(io.LimitReader(s.in, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the value of secret %s: %w", args[0], err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("secret %s: the value is over %d bytes", args[0], maxSecret)
	}
	return oneNewline(string(data)), nil
}

// oneNewline drops the line feed that ends a text of one line, which tools add; a text of several keeps all.
func oneNewline(text string) string {
	line := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if strings.Contains(line, "\n") {
		return text
	}
	return line
}

func (s *session) ask(terminal *os.File, name string) (string, error) {
	fmt.Fprintf(s.errw, "value of %s: ", name)
	value, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(s.errw)
	if err != nil {
		return "", fmt.Errorf("read the value of secret %s: %w", name, err)
	}
	if len(value) == 0 {
		return "", fmt.Errorf("secret %s: %w", name, errNoValue)
	}
	return string(value), nil
}

var errNoValue = errors.New("no value was typed; nothing is changed")

func secretList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List the names of secrets; values are never shown", "attune secret list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			secrets, more, err := s.api.Secrets(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, secrets, "secrets", []column[api.Secret]{
				{title: "SECRET", cell: func(x api.Secret) string { return x.Name }},
				{title: "SET", cell: func(x api.Secret) string { return ago(s.now, x.UpdatedAt) }},
				{title: "CREATED", cell: func(x api.Secret) string { return ago(s.now, x.CreatedAt) }},
			}))
		}))
	l.flag(c, 0)
	return c
}

func secretDelete(a *app) *cobra.Command {
	return completing(command("delete NAME", "Delete a secret", "attune secret delete API_KEY", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			if err := s.api.DeleteSecret(ctx, args[0]); err != nil {
				return err
			}
			return s.said(map[string]string{"deleted": args[0]}, "secret %s is deleted", args[0])
		})), a.complete(secretNames))
}
