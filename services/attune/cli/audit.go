package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func auditCommand(a *app) *cobra.Command {
	return group("audit", "The audit: who changed what, or tried to", "attune audit list --object demo.on-note --since 24h",
		auditList(a), auditVerify(a))
}

func auditList(a *app) *cobra.Command {
	var l limit
	filter := map[string]*string{}
	c := command("list", "List who changed what, newest first", "attune audit list --actor token:ci --since 24h\nattune audit list --object demo.on-note -o json", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			f := client.Filter{}
			for name, value := range filter {
				f[name] = *value
			}
			rows, more, err := s.api.Audit(ctx, f, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, rows, "rows", []column[api.AuditEntry]{
				{title: "ROW", cell: func(e api.AuditEntry) string { return strconv.FormatInt(e.Seq, 10) }},
				{title: "WHEN", cell: func(e api.AuditEntry) string { return ago(s.now, e.At) }},
				{title: "ACTOR", cell: func(e api.AuditEntry) string { return first(e.Actor, "nobody known") }},
				{title: "FROM", cell: func(e api.AuditEntry) string { return e.Address }},
				{title: "ACTION", cell: func(e api.AuditEntry) string { return e.Action }},
				{title: "OBJECT", cell: func(e api.AuditEntry) string { return e.Object }, flex: true},
				{title: "OUTCOME", cell: outcomeText},
			}))
		}))
	for name, what := range map[string]string{
		"actor": "only what this one did: admin, token:NAME, user:NAME", "object": "only about this: a rule as PACK.NAME, a pack, a token ...",
		"kind": "only about these: rules, packs, secrets ...", "action": "only this operation, such as set-secret",
		"since": "only since then: a time, or how long ago", "until": "only before: a time, or how long ago",
	} {
		filter[name] = c.Flags().String(name, "", what)
	}
	l.flag(c, 50)
	return c
}

func outcomeText(e api.AuditEntry) string {
	if e.Detail != "" {
		return e.Outcome + ": " + e.Detail
	}
	return e.Outcome
}

func auditVerify(a *app) *cobra.Command {
	var expect string
	c := command("verify", "Check that no row of the audit was changed, removed, added or moved",
		"attune audit verify\nattune audit verify --expect 1042:5f0c...   # what it printed last week", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			report, err := s.api.VerifyAudit(ctx, expect)
			if err != nil {
				return err
			}
			if s.format != formatTable {
				err = s.data(report)
			} else {
				s.report(report)
			}
			if err == nil && !report.OK {
				return WithExit(errQuiet, ExitFailed)
			}
			return err
		}))
	c.Flags().StringVar(&expect, "expect", "", "a head that was printed earlier, SEQ:HASH: that row must still be there")
	return c
}

func (v *view) report(r api.AuditReport) {
	if r.OK {
		fmt.Fprintf(v.out, "the audit is whole: %d rows\n", r.Rows)
	} else {
		fmt.Fprintf(v.out, "the audit is %s: %d rows\n", v.paint.bad("not whole"), r.Rows)
	}
	for _, f := range r.Faults {
		fmt.Fprintf(v.out, "row %d: %s\n", f.Seq, f.Message)
	}
	fmt.Fprintf(v.out, "head %s\n", r.Head)
}
