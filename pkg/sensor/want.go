package sensor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
)

// want is a sensor as it ought to run. It is replaced, not changed.
type want struct {
	ref    pack.Ref
	digest string
	spec   pack.Sensor
	config json.RawMessage
	rules  []rule
	print  string // changes with everything above, and with the versions of its secrets
}

// rule is what a sensor is told of a rule that uses one of its triggers.
type rule struct {
	Name    string `json:"name"`
	Trigger string `json:"trigger"`
	When    string `json:"when,omitempty"`
}

// wanted lists the sensors that enabled rules wait for. Versions are those of all secrets.
func wanted(snap *definitions.Snapshot, versions map[secret.Ref]string) (map[pack.Ref]*want, error) {
	all := map[pack.Ref]*want{}
	for ref, s := range snap.Sensors {
		rules := rulesOf(snap, ref, s.Spec)
		if len(rules) == 0 {
			continue
		}
		w := &want{ref: ref, digest: s.Digest, spec: s.Spec, rules: rules}
		var err error
		if w.config, err = overlay(s.Spec.Config, s.Config); err != nil {
			return nil, fmt.Errorf("sensor %s: configuration: %w", ref, err)
		}
		if w.print, err = w.fingerprint(versions); err != nil {
			return nil, fmt.Errorf("sensor %s: %w", ref, err)
		}
		all[ref] = w
	}
	return all, nil
}

func rulesOf(snap *definitions.Snapshot, sensor pack.Ref, spec pack.Sensor) (rules []rule) {
	for _, trigger := range spec.Triggers {
		for _, r := range snap.RulesOf(pack.Ref{Pack: sensor.Pack, Name: trigger}) {
			rules = append(rules, rule{Name: r.Ref.String(), Trigger: trigger, When: r.Spec.When})
		}
	}
	return rules
}

// overlay lays the values of one object over those of another.
func overlay(base, over json.RawMessage) (json.RawMessage, error) {
	values := map[string]json.RawMessage{}
	for _, layer := range []json.RawMessage{base, over} {
		if len(bytes.TrimSpace(layer)) == 0 {
			continue
		}
		if err := json.Unmarshal(layer, &values); err != nil {
			return nil, err
		}
	}
	return json.Marshal(values)
}

func (w *want) fingerprint(versions map[secret.Ref]string) (string, error) {
	secrets := map[string][2]string{}
	for _, name := range w.secrets() {
		secrets[name] = [2]string{versions[secret.Ref{Owner: secret.OfPack(w.ref.Pack), Name: name}], versions[secret.Ref{Owner: secret.Global, Name: name}]}
	}
	text, err := json.Marshal([]any{w.digest, w.spec, w.config, w.rules, secrets})
	return string(text), err
}

// secrets are all names that the sensor declares, and those that its configuration refers to.
func (w *want) secrets() []string {
	names := slices.Concat(w.spec.Secrets, w.spec.Optional)
	refs, _ := w.references() // what is wrong with it is said when it starts
	for _, ref := range refs {
		names = append(names, ref.Name())
	}
	return names
}

// input is what a sensor reads from its standard input.
type input struct {
	Sensor  identity          `json:"sensor"`
	Config  json.RawMessage   `json:"config"`
	Secrets map[string]string `json:"secrets"`
	Rules   []rule            `json:"rules"`
}

type identity struct {
	ID       string   `json:"id"` // of this start
	Name     string   `json:"name"`
	Pack     string   `json:"pack"`
	Triggers []string `json:"triggers"`
}

func (w *want) input(id string, m material) ([]byte, error) {
	text, err := json.Marshal(input{
		Sensor: identity{ID: id, Name: w.ref.Name, Pack: w.ref.Pack, Triggers: w.spec.Triggers},
		Config: m.config, Secrets: m.secrets, Rules: w.rules,
	})
	if err != nil {
		return nil, fmt.Errorf("input of sensor %s: cannot be encoded", w.ref) // without the cause, which may quote a secret
	}
	return append(text, '\n'), nil
}
