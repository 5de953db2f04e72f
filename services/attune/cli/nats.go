package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

// natsUsers is where users of the bus are kept.
type natsUsers struct {
	a    *app
	keys string // folder; "": that of the server of attune up
}

func natsCommand(a *app) *cobra.Command {
	u := &natsUsers{a: a}
	users := group("user", "Users of NATS: credentials for services on other machines", "attune nats user add web-7 --role runner > web-7.creds",
		u.add(), u.list(), u.revoke())
	users.PersistentFlags().StringVar(&u.keys, "keys", "", "folder of the server's keys (default: nats/keys in the data folder)")
	return group("nats", "NATS: who may connect to the bus, and as what", "attune nats user list", users)
}

// dir is the folder of keys, which must be there: an empty one would get keys that no server knows.
func (u *natsUsers) dir() (string, error) {
	dir := u.keys
	if dir == "" {
		cfg, err := config.Load()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(first(u.a.dataDir, cfg.DataDir), "nats", "keys")
	}
	if _, err := os.Stat(filepath.Join(dir, "attune-account.nk")); err != nil {
		return "", fmt.Errorf("%s holds no keys of a NATS server; name the folder with --keys: %w", dir, err)
	}
	return dir, nil
}

func (u *natsUsers) add() *cobra.Command {
	var role, out string
	c := command("add NAME", "Make credentials for a user and print them; they cannot be shown again",
		"attune nats user add web-7 --role runner --out web-7.creds", cobra.ExactArgs(1),
		u.a.offline(func(_ context.Context, s *session, args []string) error {
			dir, err := u.dir()
			if err != nil {
				return err
			}
			creds, err := natsserver.Issue(dir, args[0], role)
			if err != nil {
				return err
			}
			if out == "" {
				_, err := s.out.Write(creds)
				return err
			}
			if err := os.WriteFile(out, creds, 0o600); err != nil {
				return fmt.Errorf("credentials of %s: %w", args[0], err)
			}
			return s.said(map[string]string{"name": args[0], "role": role, "file": out}, "credentials of %s are in %s", args[0], out)
		}))
	c.Flags().StringVar(&role, "role", "", "what it is: a service, or attune for people, who may do everything")
	c.Flags().StringVar(&out, "out", "", "file to write to, which only you can read")
	_ = c.MarkFlagRequired("role")                                                                                        // the flag exists
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(streams.Users(), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func (u *natsUsers) list() *cobra.Command {
	return command("list", "List the users that were given credentials", "attune nats user list", cobra.NoArgs,
		u.a.offline(func(_ context.Context, s *session, _ []string) error {
			dir, err := u.dir()
			if err != nil {
				return err
			}
			users, err := natsserver.Issued(dir)
			if err != nil {
				return err
			}
			return list(s.view, users, "users of NATS", []column[natsserver.User]{
				{title: "NAME", cell: func(u natsserver.User) string { return u.Name }},
				{title: "ROLE", cell: func(u natsserver.User) string { return u.Role }},
				{title: "ISSUED", cell: func(u natsserver.User) string { return ago(s.view.now, u.Issued) }},
				{title: "REVOKED", cell: func(u natsserver.User) string {
					if u.Revoked == nil {
						return "-"
					}
					return ago(s.view.now, *u.Revoked)
				}},
			})
		}))
}

func (u *natsUsers) revoke() *cobra.Command {
	c := command("revoke NAME", "End a user's access: it is disconnected within seconds, for ever", "attune nats user revoke web-7", cobra.ExactArgs(1),
		u.a.offline(func(_ context.Context, s *session, args []string) error {
			dir, err := u.dir()
			if err != nil {
				return err
			}
			if err := natsserver.Revoke(dir, args[0]); err != nil {
				return err
			}
			return s.said(map[string]string{"name": args[0]}, "%s is revoked", args[0])
		}))
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		if dir, err := u.dir(); err == nil {
			users, _ := natsserver.Issued(dir) // what can be read of them
			for _, one := range users {
				names = append(names, one.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return c
}
