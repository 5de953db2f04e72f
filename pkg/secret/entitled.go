package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
)

// entitled is what somebody who asks may have, and to which key it is sealed.
type entitled struct {
	key       string
	who       string // for messages
	home      string // the pack of the program: its secrets come before global ones
	origin    string // the pack whose rule made the parameters, or home
	user      string // who asked for the execution; "" when that was no user
	execution string

	declared   []string
	parameters []marker.Ref
	config     []marker.Ref
}

// userPrefix begins the names of principals that are users.
const userPrefix = "user:"

// entitledExecution tells what an execution may have while it runs at that attempt.
func (r responder) entitledExecution(ctx context.Context, q request) (entitled, error) {
	st, err := r.running(ctx, q)
	if err != nil {
		return entitled{}, err
	}
	action, err := pack.ParseRef(st.Action)
	if err != nil {
		return entitled{}, fmt.Errorf("execution %s: %w: %w", st.ID, ErrRefused, err)
	}
	e := entitled{who: "action " + st.Action, home: action.Pack, origin: action.Pack, execution: st.ID}
	e.user, _ = strings.CutPrefix(st.RequestedBy, userPrefix)
	if e.user == st.RequestedBy {
		e.user = ""
	}
	if rule, err := pack.ParseRef(st.Rule); err == nil {
		e.origin = rule.Pack
	}
	if e.key, err = r.keyOf(ctx, st.Runner); err != nil {
		return e, err
	}
	if e.declared, err = r.Declarations.Declared(ctx, action, st.PackDigest); err != nil {
		return e, fmt.Errorf("execution %s: secrets of action %s: %w", st.ID, action, err)
	}
	if e.parameters, err = r.ofParameters(ctx, q, st); err != nil {
		return e, err
	}
	e.config, err = r.ofConfig(ctx, q, action.Pack)
	return e, err
}

// ofParameters gives what the parameters of an execution refer to, as they were requested.
func (r responder) ofParameters(ctx context.Context, q request, st execution.State) ([]marker.Ref, error) {
	if len(q.Parameters) == 0 {
		return nil, nil
	}
	first, err := r.facts.First(ctx, st.Action, st.ID)
	if err != nil {
		return nil, err
	}
	places, err := marker.InDocument(first.Parameters)
	if err != nil {
		return nil, fmt.Errorf("execution %s: parameters: %w: %w", st.ID, ErrRefused, err)
	}
	return marker.RefsOf(places), nil
}

// ofConfig gives what the configuration of a pack refers to now.
func (r responder) ofConfig(ctx context.Context, q request, name string) ([]marker.Ref, error) {
	if len(q.Config) == 0 {
		return nil, nil
	}
	entry, err := r.configs.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of pack %s: %w", name, err)
	}
	places, err := marker.InDocument(json.RawMessage(entry.Value()))
	if err != nil {
		return nil, fmt.Errorf("configuration of pack %s: %w: %w", name, ErrRefused, err)
	}
	return marker.RefsOf(places), nil
}

// within refuses what an entitlement does not cover. A configuration may have been changed a moment ago, which who
// asks may not have seen.
func (q request) within(e entitled) error {
	for _, n := range slices.Concat(q.Names, q.Optional) {
		if !slices.Contains(e.declared, n) {
			return fmt.Errorf("%s does not declare secret %s: %w", e.who, n, ErrRefused)
		}
	}
	for _, ref := range q.Parameters {
		if !slices.Contains(e.parameters, ref) {
			return fmt.Errorf("the parameters of execution %s do not refer to secret %s: %w", e.execution, ref, ErrRefused)
		}
	}
	for _, ref := range q.Config {
		if !slices.Contains(e.config, ref) {
			return fmt.Errorf("the configuration of pack %s does not refer to secret %s: %w", e.home, ref, errTransient)
		}
	}
	return nil
}

// given reads what was asked for, and nothing else.
func (r responder) given(ctx context.Context, q request, e entitled) (g grant, err error) {
	g = grant{Execution: q.Execution, Attempt: q.Attempt, Sensor: q.Sensor, Nonce: q.Nonce}
	if g.Values, err = r.read(ctx, e, e.home, asRefs(q.Names)); err != nil {
		return g, err
	}
	for _, ref := range asRefs(q.Optional) {
		one, err := r.read(ctx, e, e.home, []marker.Ref{ref})
		if err == nil {
			g.Values[ref] = one[ref]
		} else if !errors.Is(err, ErrNotFound) {
			return g, err
		}
	}
	if g.Parameters, err = r.read(ctx, e, e.origin, q.Parameters); err != nil {
		return g, err
	}
	g.Config, err = r.read(ctx, e, e.home, q.Config)
	return g, err
}

func asRefs(names []string) []marker.Ref {
	refs := make([]marker.Ref, len(names))
	for i, n := range names {
		refs[i] = marker.Ref(n)
	}
	return refs
}

// read gives the values of references. A name is one of the pack's secrets, or else a global one.
func (r responder) read(ctx context.Context, e entitled, home string, refs []marker.Ref) (map[marker.Ref]string, error) {
	out := make(map[marker.Ref]string, len(refs))
	for _, kind := range []marker.Kind{marker.Named, marker.OfUser, marker.Sealed} {
		var names []string
		for _, ref := range refs {
			if ref.Kind() == kind {
				names = append(names, ref.Name())
			}
		}
		if len(names) == 0 {
			continue
		}
		owners, err := e.owners(kind, home)
		if err != nil {
			return nil, err
		}
		values, err := r.Values.Values(ctx, owners, names)
		if err != nil {
			return nil, fmt.Errorf("%w (looked for in %s)", err, describe(owners))
		}
		for _, ref := range refs {
			if ref.Kind() == kind {
				out[ref] = string(values[ref.Name()])
			}
		}
	}
	return out, nil
}

// owners says whose secrets a kind of reference means.
func (e entitled) owners(kind marker.Kind, home string) ([]Owner, error) {
	switch {
	case kind == marker.OfUser && e.user == "":
		return nil, fmt.Errorf("%s wants a secret of the user who asked, and no user did: %w", e.who, ErrRefused)
	case kind == marker.OfUser:
		return []Owner{OfUser(e.user)}, nil
	case kind == marker.Sealed:
		return []Owner{OfExecution(e.execution)}, nil
	default:
		return []Owner{OfPack(home), Global}, nil
	}
}

func describe(owners []Owner) string {
	texts := make([]string, len(owners))
	for i, o := range owners {
		texts[i] = string(o)
	}
	return strings.Join(texts, " or ")
}
