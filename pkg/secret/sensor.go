package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// entitledSensor tells what a sensor may have, sealed to its host, when some host has the sensor. Another host that
// asks gets an answer that it cannot open.
func (r responder) entitledSensor(ctx context.Context, q request) (entitled, error) {
	ref, err := pack.ParseRef(q.Sensor)
	if err != nil {
		return entitled{}, fmt.Errorf("sensor %.130q: %w: %w", q.Sensor, ErrRefused, err)
	}
	st, err := r.sensorState(ctx, ref)
	if err != nil {
		return entitled{}, err
	}
	e := entitled{key: st.XKey, who: "sensor " + ref.String(), home: ref.Pack}
	if e.declared, err = r.Declarations.DeclaredBySensor(ctx, ref, st.PackDigest); err != nil {
		return e, fmt.Errorf("secrets of sensor %s: %w", ref, err)
	}
	if e.config, err = r.ofConfig(ctx, q, ref.Pack); err != nil {
		return e, err
	}
	e.config = append(e.config, asRefs(e.declared)...)
	return e, nil
}

// sensorState gives what the owner of a sensor says of it. That a replica does not know it yet is no refusal.
func (r responder) sensorState(ctx context.Context, ref pack.Ref) (st streams.SensorState, err error) {
	entry, err := r.sensors.Get(ctx, ref.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return st, fmt.Errorf("sensor %s has no host: %w", ref, errTransient)
	}
	if err != nil {
		return st, fmt.Errorf("sensor %s: %w", ref, err)
	}
	if err := json.Unmarshal(entry.Value(), &st); err != nil {
		return st, fmt.Errorf("sensor %s: parse state: %w", ref, err)
	}
	if st.Owner == "" || st.Status == streams.SensorIdle {
		return st, fmt.Errorf("sensor %s has no host: %w", ref, errTransient)
	}
	return st, nil
}
