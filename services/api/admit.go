package api

import (
	"context"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
)

// admitSecrets refuses to run an action for whoever may not use each of the secrets that it declares.
func (s *Server) admitSecrets(ctx context.Context, a *invocation.Action) error {
	own, global := access.InPack(a.Ref.Pack), access.Global
	may := access.From(ctx).Reach(useSecrets)
	names := shared(a.Spec.Secrets)
	if len(names) == 0 || may.Has(own) && may.Has(global) {
		return nil
	}
	there, err := s.namesOf(ctx, secret.OfPack(a.Ref.Pack))
	if err != nil {
		return err
	}
	for _, name := range names {
		from := global
		if there[name] {
			from = own
		}
		if err := s.admit(ctx, useSecrets, from, forbidden(useSecrets, from)); err != nil {
			return err
		}
	}
	return nil
}

var useSecrets = access.Right{Verb: access.Use, Kind: access.Secrets}

// shared leaves out the secrets that are the own ones of whoever asks for the execution.
func shared(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "user/") })
}

// namesOf gives the names of an owner's secrets.
func (s *Server) namesOf(ctx context.Context, owner secret.Owner) (map[string]bool, error) {
	all, err := s.config.Secrets.List(ctx, owner)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, i := range all {
		names[i.Name] = true
	}
	return names, nil
}

// admitPack refuses a pack that gives its code or its rules more than the one who brings it may do: nobody may do
// through a rule or a secret what he may not do himself. Names that are the pack's own secrets today may be global ones
// tomorrow, so whoever brings a pack that declares any must have the right to both.
func (s *Server) admitPack(ctx context.Context, p pack.Pack) error {
	edit := access.Right{Verb: access.Edit, Kind: access.Packs}
	if err := s.admit(ctx, edit, access.InPack(p.Name), forbidden(edit, access.InPack(p.Name))); err != nil {
		return err
	}
	for _, r := range p.Rules {
		if err := s.admitRule(ctx, p.Name, r); err != nil {
			return err
		}
	}
	if len(shared(declaredSecrets(p))) == 0 {
		return nil
	}
	if err := s.admit(ctx, useSecrets, access.InPack(p.Name), forbidden(useSecrets, access.InPack(p.Name))); err != nil {
		return err
	}
	return s.admit(ctx, useSecrets, access.Global, forbidden(useSecrets, access.Global))
}

// admitRule refuses a rule that takes another pack's events, or runs another pack's actions, for whoever may not.
func (s *Server) admitRule(ctx context.Context, home string, r pack.Rule) error {
	for _, need := range []struct {
		right access.Right
		ref   string
	}{
		{access.Right{Verb: access.Run, Kind: access.Actions}, r.Action},
		{access.Right{Verb: access.View, Kind: access.Events}, r.Trigger},
	} {
		ref, err := pack.ParseRef(need.ref)
		if err != nil || ref.Pack == home { // a name alone is the pack's own
			continue
		}
		in := access.InPack(ref.Pack)
		if err := s.admit(ctx, need.right, in, forbidden(need.right, in)); err != nil {
			return err
		}
	}
	return nil
}

// admitForce refuses to uninstall a pack together with rules of other packs for whoever may not edit these.
func (s *Server) admitForce(ctx context.Context, name string) error {
	v, err := s.defs.view()
	if err != nil {
		return err
	}
	edit := access.Right{Verb: access.Edit, Kind: access.Rules}
	for ref, r := range v.Rules {
		if ref.Pack == name || r.Action.Pack != name && r.Trigger.Pack != name {
			continue
		}
		if err := s.admit(ctx, edit, access.InPack(ref.Pack), forbidden(edit, access.Everywhere)); err != nil {
			return err
		}
	}
	return nil
}

func appendRefs(names []string, refs []marker.Ref) []string {
	for _, ref := range refs {
		names = append(names, ref.Name())
	}
	return names
}

// declaredSecrets are the names that anything of a pack has the values of, or passes on.
func declaredSecrets(p pack.Pack) []string {
	var names []string
	for _, a := range p.Actions {
		names = append(names, a.Secrets...)
	}
	for _, x := range p.Sensors {
		names = append(append(names, x.Secrets...), x.Optional...)
		places, _ := marker.InDocument(x.Config) // it was checked when the pack was loaded
		names = appendRefs(names, marker.RefsOf(places))
	}
	for _, r := range p.Rules {
		names = appendRefs(names, expression.Secrets(r.Parameters))
	}
	for _, t := range p.Triggers {
		if t.Webhook != nil && t.Webhook.Secret != "" {
			names = append(names, t.Webhook.Secret)
		}
	}
	return names
}
