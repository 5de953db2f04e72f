package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
)

func secretVersions(a *app) *cobra.Command {
	var l limit
	var sc secretScope
	c := completing(command("versions NAME [--pack PACK | --user USER]", "List the versions of a secret that are kept", "attune secret versions API_KEY", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			versions, more, err := s.api.SecretVersions(ctx, sc.SecretScope, args[0], l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, versions, "versions", []column[api.SecretVersion]{
				{title: "VERSION", cell: func(x api.SecretVersion) string { return strconv.FormatInt(x.Version, 10) }},
				{title: "CURRENT", cell: func(x api.SecretVersion) string { return yesNo(x.Current) }},
				{title: "SET", cell: func(x api.SecretVersion) string { return ago(s.now, x.CreatedAt) }},
				{title: "ROTATED", cell: func(x api.SecretVersion) string { return ago(s.now, x.KeyedAt) }},
				{title: "EXPIRES", cell: func(x api.SecretVersion) string { return s.end(x.ExpiresAt, x.Expired) }},
				{title: "KEY", cell: func(x api.SecretVersion) string { return x.KeyID }},
			}))
		})), a.complete(secretNames))
	l.flag(c, 0)
	return sc.flags(a, c)
}

func secretRestore(a *app) *cobra.Command {
	var sc secretScope
	var ttl string
	c := completing(command("restore NAME VERSION [--pack PACK | --user USER] [--ttl 24h]", "Give a secret the value of an earlier version, as a new one",
		"attune secret restore API_KEY 3", cobra.ExactArgs(2),
		a.do(func(ctx context.Context, s *session, args []string) error {
			version, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || version < 1 {
				return WithExit(fmt.Errorf("version %q: want a number that attune secret versions %s shows", args[1], args[0]), ExitUsage)
			}
			length, err := lifeText(ttl)
			if err != nil {
				return err
			}
			secret, err := s.api.RestoreSecret(ctx, sc.SecretScope, args[0], api.SecretRestore{Version: version, TTL: length})
			if err != nil {
				return err
			}
			return s.said(secret, "secret %s%s is as in version %d again; this is version %d", args[0], sc.of(), version, secret.Version)
		})), a.complete(secretNames))
	life(c, &ttl)
	return sc.flags(a, c)
}

func secretRotate(a *app) *cobra.Command {
	var sc secretScope
	c := completing(command("rotate [NAME] [--pack PACK | --user USER]", "Seal a secret, or all, under fresh data keys; values and versions stay",
		"attune secret rotate API_KEY\nattune secret rotate", cobra.MaximumNArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 0 {
				if sc.of() != "" {
					return WithExit(fmt.Errorf("rotate%s: want the NAME of a secret; without one all secrets are rotated", sc.of()), ExitUsage)
				}
				keys, err := s.api.RotateSecrets(ctx)
				if err != nil {
					return err
				}
				return s.said(keys, "all secrets are being sealed anew, %d versions; attune secret key status shows how far it is", keys.Left)
			}
			secret, err := s.api.RotateSecret(ctx, sc.SecretScope, args[0])
			if err != nil {
				return err
			}
			return s.said(secret, "secret %s%s is sealed under fresh data keys", args[0], sc.of())
		})), a.complete(secretNames))
	c.Long = `Seal a secret, or all of them, under fresh data keys. Values and versions stay as they are. Without a NAME it goes on
in the background. To change the key that seals the data keys, see: attune secret rekey.`
	return sc.flags(a, c)
}

// waitingFor names the machines that have not the next key yet.
func waitingFor(k api.SecretKeys) string {
	hosts := make([]string, len(k.Waiting))
	for i, h := range k.Waiting {
		hosts[i] = h.Host
	}
	return strings.Join(hosts, ", ")
}
