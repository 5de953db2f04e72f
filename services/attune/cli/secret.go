package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/mask"
)

// maxSecret bounds a secret's value, as the API does.
const maxSecret = 64 << 10

func secretCommand(a *app) *cobra.Command {
	return group("secret", "Secrets: values that actions get and nobody sees", "attune secret set API_KEY < key.txt",
		secretSet(a), secretList(a), secretVersions(a), secretRestore(a), secretRotate(a), secretDelete(a), secretRekey(a, "rekey", "attune secret rekey --wait"), secretKey(a))
}

// secretScope is whose secrets a command is about.
type secretScope struct{ client.SecretScope }

// flags gives a command --pack and --user.
func (sc *secretScope) flags(a *app, c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&sc.Pack, "pack", "", "a secret that only this pack's programs may use")
	c.Flags().StringVar(&sc.User, "user", "", "a secret that only executions which this user asked for may use")
	c.MarkFlagsMutuallyExclusive("pack", "user")
	must(c.RegisterFlagCompletionFunc("pack", a.complete(packNames)))
	must(c.RegisterFlagCompletionFunc("user", cobra.NoFileCompletions))
	return c
}

// of says whose secret it is.
func (sc *secretScope) of() string {
	switch {
	case sc.Pack != "":
		return " of pack " + sc.Pack
	case sc.User != "":
		return " of user " + sc.User
	}
	return ""
}

// life gives a command --ttl.
func life(c *cobra.Command, ttl *string) {
	c.Flags().StringVar(ttl, "ttl", "", "after which the value is not given to anybody any more: 90m, 24h, 30d; for ever without it")
	must(c.RegisterFlagCompletionFunc("ttl", cobra.NoFileCompletions))
}

// lifeText is a flag's duration as the API reads it.
func lifeText(text string) (string, error) {
	d, err := positive("ttl", text)
	if d == 0 || err != nil {
		return "", err
	}
	return d.String(), nil
}

func secretSet(a *app) *cobra.Command {
	var sc secretScope
	var ttl string
	c := command("set NAME [VALUE|-] [--pack PACK | --user USER] [--ttl 24h]", "Set a secret, from stdin or a prompt that does not show it",
		"attune secret set API_KEY               # asks, without showing what is typed\nattune secret set API_KEY - < key.txt\nop read op://vault/key | attune secret set API_KEY --pack shop --ttl 30d",
		cobra.RangeArgs(1, 2), a.do(func(ctx context.Context, s *session, args []string) error {
			length, err := lifeText(ttl)
			if err != nil {
				return err
			}
			value, err := s.secretValue(args)
			if err != nil {
				return err
			}
			s.warnShort(args[0], value)
			secret, err := s.api.PutSecret(ctx, sc.SecretScope, args[0], api.SecretValue{Value: value, TTL: length})
			if err != nil {
				return err
			}
			return s.said(secret, "secret %s%s is set", args[0], sc.of())
		}))
	life(c, &ttl)
	return sc.flags(a, c)
}

// warnShort says that a value will be seen in logs.
func (s *session) warnShort(name, value string) {
	if !mask.Masks(value) {
		fmt.Fprintf(s.errw, "attune: %s has less than %d bytes: what prints it is not masked\n", name, mask.MinValue)
	}
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
	var sc secretScope
	c := command("list [--pack PACK | --user USER]", "List the names of secrets; values are never shown", "attune secret list\nattune secret list --pack shop", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			secrets, more, err := s.api.Secrets(ctx, sc.SecretScope, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, secrets, "secrets", []column[api.Secret]{
				{title: "SECRET", cell: func(x api.Secret) string { return x.Name }},
				{title: "OWNER", cell: func(x api.Secret) string { return x.Owner }},
				{title: "VERSION", cell: func(x api.Secret) string { return strconv.FormatInt(x.Version, 10) }},
				{title: "SET", cell: func(x api.Secret) string { return ago(s.now, x.UpdatedAt) }},
				{title: "CREATED", cell: func(x api.Secret) string { return ago(s.now, x.CreatedAt) }},
				{title: "EXPIRES", cell: func(x api.Secret) string { return s.end(x.ExpiresAt, x.Expired) }},
			}))
		}))
	l.flag(c, 0)
	return sc.flags(a, c)
}

// end says when something comes to its end.
func (v *view) end(at *time.Time, expired bool) string {
	switch {
	case at == nil:
		return "-"
	case expired:
		return "expired"
	}
	return until(v.now, *at)
}

func secretDelete(a *app) *cobra.Command {
	var sc secretScope
	c := completing(command("delete NAME [--pack PACK | --user USER]", "Delete a secret with all its versions", "attune secret delete API_KEY", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			if err := s.api.DeleteSecret(ctx, sc.SecretScope, args[0]); err != nil {
				return err
			}
			return s.said(map[string]string{"deleted": args[0]}, "secret %s%s is deleted", args[0], sc.of())
		})), a.complete(secretNames))
	return sc.flags(a, c)
}
