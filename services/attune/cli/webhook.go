package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func webhookCommand(a *app) *cobra.Command {
	return group("webhook", "Webhooks: where others deliver, and how they prove who they are", "attune webhook list",
		completing(command("show PACK.TRIGGER", "Show a webhook: where to deliver, and how a delivery is proved", "attune webhook show core.webhook",
			cobra.ExactArgs(1), one(a, (*client.Client).Trigger, showTrigger)), a.complete(triggerNames)),
		webhookRotate(a),
		inPack(a, "list", "List webhooks; those to which anybody may deliver say so", "attune webhook list", "webhooks", webhooks, webhookColumns))
}

var webhookColumns = []column[api.Trigger]{
	{title: "TRIGGER", cell: func(t api.Trigger) string { return t.Ref }},
	{title: "VERIFIED BY", cell: func(t api.Trigger) string { return webhookProof(t.Webhook) }},
	{title: "SECRET", cell: func(t api.Trigger) string { return webhookSecrets(t.Webhook) }},
	{title: "POST TO", cell: func(t api.Trigger) string { return t.Webhook.Path }, flex: true},
}

// webhooks lists the triggers that have a webhook.
func webhooks(c *client.Client, ctx context.Context, pack string, limit int) ([]api.Trigger, bool, error) { //nolint:revive // as a method expression
	all, _, err := c.Triggers(ctx, pack, 0)
	if err != nil {
		return nil, false, err
	}
	all = slices.DeleteFunc(all, func(t api.Trigger) bool { return t.Webhook == nil })
	if limit > 0 && len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, nil
}

// rotated is what changing a webhook's secret did.
type rotated struct {
	Trigger string `json:"trigger"`
	Secret  string `json:"secret"`
	Value   string `json:"value"`
	Other   string `json:"still_accepted,omitempty"` // the secret that proves deliveries until it is deleted
}

func webhookRotate(a *app) *cobra.Command {
	var now bool
	c := command("rotate PACK.TRIGGER", "Make a new secret for a webhook and print it; the one in use goes on proving deliveries",
		"attune webhook rotate shop.paid", cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			r, err := s.rotate(ctx, args[0], now)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.errw, "secret %s of %s is new; give the sender this value, which is not shown again:\n", r.Secret, r.Trigger)
			if r.Other != "" {
				fmt.Fprintf(s.errw, "when the sender uses it: attune secret delete %s\n", r.Other)
			}
			return s.said(r, "%s", r.Value)
		}))
	c.Flags().BoolVar(&now, "now", false, "replace the only secret of a webhook: deliveries are refused until the sender has the new one")
	return completing(c, a.complete(triggerNames))
}

var (
	errNoProof   = errors.New("its deliveries are not proved by a secret")
	errOneSecret = errors.New("it names one secret")
)

func (s *session) rotate(ctx context.Context, ref string, now bool) (rotated, error) {
	t, err := s.api.Trigger(ctx, ref)
	if err != nil {
		return rotated{}, err
	}
	if t.Webhook == nil || t.Webhook.Secret == "" && len(t.Webhook.Secrets) == 0 {
		return rotated{}, fmt.Errorf("trigger %s: %w", ref, errNoProof)
	}
	names := t.Webhook.Secrets
	if len(names) == 0 {
		if !now {
			return rotated{}, hinted(fmt.Errorf("webhook %s: %w", ref, errOneSecret),
				"for a change without a gap: name a second one in the pack, secrets: ["+t.Webhook.Secret+", "+t.Webhook.Secret+"_2]",
				"to replace it at once:      --now")
		}
		names = []string{t.Webhook.Secret}
	}
	r := rotated{Trigger: ref, Value: webhookKey(t.Webhook.Scheme)}
	var scope client.SecretScope
	if r.Secret, r.Other, scope, err = s.idleSecret(ctx, ref, names); err != nil {
		return rotated{}, err
	}
	_, err = s.api.PutSecret(ctx, scope, r.Secret, api.SecretValue{Value: r.Value})
	return r, err
}

// idleSecret chooses which of a webhook's secrets gets the new value: one that is not set, else the one that was set
// first; and gives the newest of the others, which the sender uses. It belongs to whom the others belong to.
func (s *session) idleSecret(ctx context.Context, ref string, names []string) (idle, used string, scope client.SecretScope, err error) {
	all, _, err := s.api.Secrets(ctx, client.SecretScope{}, 0)
	if err != nil {
		return "", "", scope, err
	}
	packName, _, _ := strings.Cut(ref, ".")
	set := map[string]api.Secret{}
	for _, x := range all {
		if _, there := set[x.Name]; x.Owner == "pack:"+packName || x.Owner == "global" && !there {
			set[x.Name] = x
		}
	}
	byAge := slices.Clone(names)
	slices.SortStableFunc(byAge, func(a, b string) int { return set[a].UpdatedAt.Compare(set[b].UpdatedAt) }) // one that is not set is the oldest
	idle = byAge[0]
	if last := byAge[len(byAge)-1]; len(byAge) > 1 && set[last].Name != "" {
		used = last
	}
	owner := set[idle].Owner
	if owner == "" {
		owner = set[used].Owner
	}
	if owner == "pack:"+packName {
		scope.Pack = packName
	}
	return idle, used, scope, nil
}

// webhookKey makes a secret, in the form that the scheme's senders expect.
func webhookKey(scheme string) string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	if scheme == "standard-webhooks" {
		return "whsec_" + base64.StdEncoding.EncodeToString(raw)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}
