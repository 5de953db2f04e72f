package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func tokenCommand(a *app) *cobra.Command {
	return group("token", "API tokens: who may call the API, and do what", "attune token create ci --role operator --pack demo --expires 30d",
		tokenCreate(a), tokenList(a),
		completing(command("revoke NAME", "End a token: within seconds nothing takes it any more", "attune token revoke ci", cobra.ExactArgs(1),
			a.do(func(ctx context.Context, s *session, args []string) error {
				if err := s.api.RevokeToken(ctx, args[0]); err != nil {
					return err
				}
				return s.said(map[string]string{"revoked": args[0]}, "token %s is revoked", args[0])
			})), a.complete(tokenNames)))
}

// rights are the flags that say what a token or a user may do.
type rights struct {
	role   string
	packs  []string
	grants []string
}

func (r *rights) flags(c *cobra.Command, a *app) {
	f := c.Flags()
	f.StringVar(&r.role, "role", "", "viewer, operator, editor or admin")
	f.StringArrayVar(&r.packs, "pack", nil, "where the role holds; may be given again; everywhere when absent")
	f.StringArrayVar(&r.grants, "grant", nil, `a right besides, such as "run actions in pack demo" or "use secrets in global"; may be given again`)
	must(c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "operator", "editor", "admin"}, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("pack", a.complete(packNames)))
}

// rightsText words what a token or a user may do.
func rightsText(role string, packs, grants []string) string {
	text := role
	if len(packs) > 0 {
		text += " in " + strings.Join(packs, ", ")
	}
	all := grants
	if text != "" {
		all = append([]string{text}, grants...)
	}
	return strings.Join(all, "; ")
}

func tokenCreate(a *app) *cobra.Command {
	var r rights
	var expires string
	c := command("create NAME", "Make a token; its text is printed this once",
		"attune token create ci --role operator --pack demo --expires 30d\nattune token create watcher --role viewer --expires never", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			made, err := s.api.CreateToken(ctx, api.NewToken{Name: args[0], Role: r.role, Packs: r.packs, Grants: r.grants, Expires: expires})
			if err != nil {
				return err
			}
			if s.format == formatTable {
				fmt.Fprintln(s.errw, "token "+args[0]+" is made; its text is shown this once:")
			}
			return s.said(made, "%s", made.Text)
		}))
	r.flags(c, a)
	c.Flags().StringVar(&expires, "expires", "90d", "when it ends: after 12h or 30d, at a time, or never")
	return c
}

func tokenList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List tokens; their texts are never shown", "attune token list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			tokens, more, err := s.api.Tokens(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, tokens, "tokens", []column[api.Token]{
				{title: "TOKEN", cell: func(t api.Token) string { return t.Name }},
				{title: "MAY", cell: func(t api.Token) string { return rightsText(t.Role, t.Packs, t.Grants) }, flex: true},
				{title: "EXPIRES", cell: s.expiry},
				{title: "USED", cell: func(t api.Token) string {
					if t.LastUsedAt == nil {
						return "never"
					}
					return ago(s.now, *t.LastUsedAt)
				}},
				{title: "CREATED", cell: func(t api.Token) string { return ago(s.now, t.CreatedAt) + " by " + t.CreatedBy }},
			}))
		}))
	l.flag(c, 0)
	return c
}

func (v *view) expiry(t api.Token) string {
	switch {
	case t.ExpiresAt == nil:
		return "never"
	case t.Expired:
		return "expired"
	}
	return "in " + age(t.ExpiresAt.Sub(v.now))
}

func tokenNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Tokens(ctx, completionLimit)
	return describe(things, err, func(t api.Token) (string, string) { return t.Name, t.Role })
}

func whoamiCommand(a *app) *cobra.Command {
	return command("whoami", "Say who the API takes you for, and what you may do", "attune whoami", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			who, err := s.api.Session(ctx)
			if err != nil {
				return err
			}
			return showOne(s.view, who, func(o *sheet, x api.Session) {
				o.field("principal", x.Principal)
				o.text("may", strings.Join(x.Grants, "\n"))
			})
		}))
}
