package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/secret"
)

// material is what a sensor is given, secrets in the clear.
type material struct {
	secrets map[string]string // by name
	config  json.RawMessage
	given   secret.Given
}

// hidden gives every value that nobody may be shown.
func (m material) hidden() []string {
	return slices.Concat(marker.Hidden(m.given.Declared), marker.Hidden(m.given.Config))
}

// material fetches what the sensor declares and what its configuration refers to. Its state must name this host by
// then.
func (t *tender) material(ctx context.Context, w *want) (material, error) {
	m := material{secrets: map[string]string{}, config: w.config}
	refs, err := w.references()
	if err != nil {
		return m, &failure{err}
	}
	wanted := secret.Wanted{Declared: w.spec.Secrets, Optional: w.spec.Optional, Config: refs}
	if wanted.Empty() {
		return m, nil
	}
	if t.h.Secrets == nil {
		return m, &failure{errNoSecrets}
	}
	if err := t.record.write(ctx); err != nil {
		return m, err
	}
	m.given, err = t.h.Secrets.FetchForSensor(ctx, t.ref.String(), wanted)
	if errors.Is(err, secret.ErrRefused) {
		return m, &failure{err}
	}
	if err != nil {
		return m, err
	}
	for ref, value := range m.given.Declared {
		m.secrets[ref.Name()] = value
	}
	if m.config, err = marker.Resolve(w.config, m.given.Config); err != nil {
		return m, &failure{fmt.Errorf("configuration: %w", err)}
	}
	return m, nil
}

// references are the secrets that the sensor's configuration refers to.
func (w *want) references() ([]marker.Ref, error) {
	places, err := marker.InDocument(w.config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return marker.RefsOf(places), nil
}
