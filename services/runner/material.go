package runner

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/secret"
)

// material is what a program is given on its standard input, secrets in the clear: it exists from just before the
// start to the end of the process, and nothing but the input, and what masks the output, is made of it.
type material struct {
	parameters json.RawMessage
	secrets    map[string]string // by the names that the program knows
	config     json.RawMessage
	edition    uint64 // of the configuration
	given      secret.Given
}

// hidden gives every value that no output may show: of what the action declares, and of what its parameters and its
// configuration refer to, with every text and number of those that are more than a text.
func (m material) hidden() []string {
	return slices.Concat(marker.Hidden(m.given.Declared), marker.Hidden(m.given.Parameters), marker.Hidden(m.given.Config))
}

// material gathers what the program is given, with the secrets that fetch gets.
func (a *attempt) material(ctx context.Context, fetch fetch) (material, error) {
	ref, err := pack.ParseRef(a.requested.Action)
	if err != nil {
		return material{}, &internalError{err}
	}
	m := material{parameters: a.requested.Parameters, secrets: map[string]string{}}
	if len(m.parameters) == 0 {
		m.parameters = emptyObject
	}
	wanted := secret.Wanted{Declared: a.program.Secrets}
	places, err := marker.InDocument(m.parameters)
	if err != nil {
		return material{}, &secretsError{err}
	}
	wanted.Parameters = marker.RefsOf(places)
	m.given, err = fetch(ctx, func() secret.Wanted {
		set := a.r.configs.pack(ref.Pack)
		m.config, m.edition = set.value, set.edition
		places, _ := marker.InDocument(m.config) // what is wrong with it is found when it is resolved
		wanted.Config = marker.RefsOf(places)
		return wanted
	})
	if err != nil {
		return material{}, &secretsError{err}
	}
	if err := m.resolve(); err != nil {
		return material{}, &secretsError{err}
	}
	return m, nil
}

// resolve puts the values in their places.
func (m *material) resolve() (err error) {
	for ref, value := range m.given.Declared {
		m.secrets[ref.Name()] = value
	}
	if m.parameters, err = marker.Resolve(m.parameters, m.given.Parameters); err != nil {
		return err
	}
	m.config, err = marker.Resolve(m.config, m.given.Config)
	return err
}

// fetch gets the values of what is wanted.
type fetch func(ctx context.Context, wanted func() secret.Wanted) (secret.Given, error)

// fetch gets the values of secrets, for an execution that is ours by now.
func (a *attempt) fetch(ctx context.Context, wanted func() secret.Wanted) (secret.Given, error) {
	if wanted().Empty() {
		return secret.Given{}, nil
	}
	if a.r.Secrets == nil {
		return secret.Given{}, errNoSecrets
	}
	return a.r.Secrets.Fetch(ctx, a.requested.ID, a.requested.Attempt, wanted)
}

// wipe overwrites what a program has read, when it has ended. What became text on the way is the collector's.
func (m material) wipe(spec process.Spec) {
	clear(spec.Stdin)
	for _, extra := range spec.Extra {
		clear(extra)
	}
	for _, values := range []map[marker.Ref]string{m.given.Declared, m.given.Parameters, m.given.Config} {
		clear(values)
	}
	clear(m.secrets)
}

var errNoSecrets = errors.New("this runner has no access to secrets")

type secretsError struct{ error }

func (e *secretsError) Unwrap() error { return e.error }
