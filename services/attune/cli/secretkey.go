package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
)

func secretKey(a *app) *cobra.Command {
	return group("key", "Keys that seal secrets", "attune secret key status", secretKeyStatus(a), secretRekey(a, "rotate", "attune secret key rotate --wait"), secretKeyMake())
}

func secretRekey(a *app, use, example string) *cobra.Command {
	var to string
	var wait bool
	c := command(use+" [--to KEY] [--wait]", "Have all secrets go over to a new key, while they are used",
		example, cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			keys, err := s.api.ChangeSecretKey(ctx, to)
			if err != nil {
				return err
			}
			for wait && (keys.Left > keys.Broken || len(keys.Waiting) > 0 || hasNext(keys)) {
				if keys, err = s.keysLater(ctx); err != nil {
					return err
				}
			}
			return s.said(keys, "%s", rekeyed(keys))
		}))
	c.Long = `Have all secrets go over to a new key. Where keys are in a file, a new one is put in front of it; a key of Vault is
rotated there before. Nothing is sealed with the new key until every process that reads secrets has it: when they do not
share the file, bring it to the others. The data keys are then sealed anew in the background, and every secret can be
read all the time. Keep the old key for as long as there are backups of the database from before.`
	c.Flags().StringVar(&to, "to", "", "the id of a key that is in the file already, or was used before; the newest without it")
	c.Flags().BoolVar(&wait, "wait", false, "wait until all are sealed with it")
	must(c.RegisterFlagCompletionFunc("to", cobra.NoFileCompletions))
	return c
}

func hasNext(k api.SecretKeys) bool {
	for _, one := range k.Keys {
		if one.State == "next" {
			return true
		}
	}
	return false
}

// rekeyed says in a sentence how far a change of the key is.
func rekeyed(k api.SecretKeys) string {
	switch {
	case len(k.Waiting) > 0:
		return "the new key is not used before these have it too: " + waitingFor(k)
	case k.Broken > 0:
		return fmt.Sprintf("secrets go over to the new key; %d versions do not open and stay, see the log of the api service", k.Broken)
	case k.Left > 0:
		return fmt.Sprintf("secrets go over to key %s, %d versions are left; attune secret key status shows how far it is", k.Keys[0].ID, k.Left)
	}
	return "all secrets are sealed with key " + k.Keys[0].ID
}

// keysLater gives how the keys stand a moment later.
func (s *session) keysLater(ctx context.Context) (api.SecretKeys, error) {
	select {
	case <-ctx.Done():
		return api.SecretKeys{}, context.Cause(ctx)
	case <-time.After(time.Second / 4):
		return s.api.SecretKeys(ctx)
	}
}

func secretKeyStatus(a *app) *cobra.Command {
	return command("status", "Show the keys, what each seals, and how far a change is", "attune secret key status", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			keys, err := s.api.SecretKeys(ctx)
			if err != nil {
				return err
			}
			if s.format != formatTable {
				return s.said(keys, "")
			}
			err = list(s.view, keys.Keys, "keys", []column[api.SecretKey]{
				{title: "KEY", cell: func(x api.SecretKey) string { return x.ID }},
				{title: "STATE", cell: func(x api.SecretKey) string { return x.State }},
				{title: "SEALS", cell: func(x api.SecretKey) string { return strconv.FormatInt(x.Wraps, 10) }},
				{title: "SINCE", cell: func(x api.SecretKey) string { return ago(s.now, x.ChangedAt) }},
				{title: "HERE", cell: func(x api.SecretKey) string { return yesNo(x.Here) }},
			})
			if err == nil && (keys.Left > 0 || len(keys.Waiting) > 0) {
				_, err = fmt.Fprintln(s.out, rekeyed(keys))
			}
			return err
		}))
}

func secretKeyMake() *cobra.Command {
	c := command("make FILE", "Put a new key in front of those in a file, on this machine", "attune secret key make /etc/attune/secrets.key", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			if err := secret.MakeKey(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "a new key is in %s; when every machine has the file: attune secret rekey\n", args[0])
			return err
		})
	c.Long = `Put a new key in front of those in a file, which is made when it is not there. The file keeps its owner and can be read by
nobody else. This talks to no service: it is for keys that are brought to several machines, or handed over by systemd.`
	c.ValidArgsFunction = nil
	return c
}
