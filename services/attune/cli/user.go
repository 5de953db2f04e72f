package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func userCommand(a *app) *cobra.Command {
	return group("user", "Users, who sign in with a password", "attune user create ann --role operator",
		userCreate(a), userList(a), userPassword(a), userRights(a),
		userSwitch(a, "disable", "Keep a user out; its sessions end", false), userSwitch(a, "enable", "Let a user in again", true))
}

func userCreate(a *app) *cobra.Command {
	var r rights
	c := command("create NAME", "Make a user, with a password from stdin or a prompt that does not show it",
		"attune user create ann --role operator\npass attune/ann | attune user create ann --role editor --pack demo", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			password, err := s.password(args[0])
			if err != nil {
				return err
			}
			u, err := s.api.CreateUser(ctx, api.NewUser{Name: args[0], Password: password, Role: r.role, Packs: r.packs, Grants: r.grants})
			if err != nil {
				return err
			}
			return s.said(u, "user %s is made", u.Name)
		}))
	r.flags(c, a)
	return c
}

// maxPassword bounds what is read of one, in bytes; the API's bound is lower.
const maxPassword = 4 << 10

// errDiffer is returned when what was typed twice is not the same.
var errDiffer = errors.New("the two differ; nothing is changed")

// password takes a password from where nobody else can read it.
func (s *session) password(user string) (string, error) {
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		data, err := io.ReadAll(io.LimitReader(s.in, maxPassword))
		if err != nil {
			return "", fmt.Errorf("read the password of %s: %w", user, err)
		}
		return oneNewline(string(data)), nil
	}
	var typed [2]string
	for i, prompt := range []string{"password of " + user + ": ", "once more: "} {
		fmt.Fprint(s.errw, prompt)
		data, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.errw)
		if err != nil {
			return "", fmt.Errorf("read the password of %s: %w", user, err)
		}
		typed[i] = string(data)
	}
	if typed[0] != typed[1] {
		return "", errDiffer
	}
	return typed[0], nil
}

func userList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List users", "attune user list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			users, more, err := s.api.Users(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, users, "users", []column[api.User]{
				{title: "USER", cell: func(u api.User) string { return u.Name }},
				{title: "MAY", cell: func(u api.User) string { return rightsText(u.Role, u.Packs, u.Grants) }, flex: true},
				{title: "ENABLED", cell: func(u api.User) string { return yesNo(!u.Disabled) }, paint: paint.status},
				{title: "CREATED", cell: func(u api.User) string { return ago(s.now, u.CreatedAt) + " by " + u.CreatedBy }},
			}))
		}))
	l.flag(c, 0)
	return c
}

func userPassword(a *app) *cobra.Command {
	return completing(command("passwd NAME", "Give a user another password; its sessions end", "attune user passwd ann", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			password, err := s.password(args[0])
			if err != nil {
				return err
			}
			u, err := s.api.SetPassword(ctx, args[0], password)
			if err != nil {
				return err
			}
			return s.said(u, "user %s has another password", u.Name)
		})), a.complete(userNames))
}

func userRights(a *app) *cobra.Command {
	var r rights
	c := completing(command("rights NAME", "Say anew what a user may do; what it might before is forgotten",
		"attune user rights ann --role editor --pack shop", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			u, err := s.api.SetRights(ctx, args[0], api.UserRights{Role: r.role, Packs: r.packs, Grants: r.grants})
			if err != nil {
				return err
			}
			return s.said(u, "user %s may now: %s", u.Name, first(rightsText(u.Role, u.Packs, u.Grants), "nothing"))
		})), a.complete(userNames))
	r.flags(c, a)
	return c
}

func userSwitch(a *app, verb, short string, enabled bool) *cobra.Command {
	return completing(command(verb+" NAME", short, "attune user "+verb+" ann", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			u, err := s.api.SetUserEnabled(ctx, args[0], enabled)
			if err != nil {
				return err
			}
			return s.said(u, "user %s is %sd", u.Name, verb)
		})), a.complete(userNames))
}

func userNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Users(ctx, completionLimit)
	return describe(things, err, func(u api.User) (string, string) { return u.Name, u.Role })
}
