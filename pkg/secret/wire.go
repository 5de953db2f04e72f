package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nkeys"

	"github.com/attune/attune/pkg/marker"
)

// wireVersion is the version of the messages below.
const wireVersion = 1

var (
	// ErrRefused is returned by Fetch when the execution may not have the secrets, and never will.
	ErrRefused = errors.New("secrets refused")
	// ErrUnavailable is returned by Fetch when nobody could answer in time.
	ErrUnavailable = errors.New("secrets are not available")
	// errTransient marks what may be different a moment later.
	errTransient = errors.New("try again")
)

// request asks for the values of secrets, for an execution or for a sensor.
type request struct {
	Version   int      `json:"v"`
	Execution string   `json:"execution,omitempty"`
	Attempt   int      `json:"attempt,omitempty"`
	Sensor    string   `json:"sensor,omitempty"`   // "pack.name"
	Names     []string `json:"names,omitempty"`    // what the action or sensor declares
	Optional  []string `json:"optional,omitempty"` // those that need not exist
	Nonce     string   `json:"nonce"`              // comes back in the sealed part, so that an old answer is none to a new question

	Parameters []marker.Ref `json:"parameters,omitempty"` // what the execution's parameters refer to
	Config     []marker.Ref `json:"config,omitempty"`     // what the configuration of the pack refers to
}

// answer carries either the sealed part or the reason why there is none.
type answer struct {
	Version int    `json:"v"`
	Sender  string `json:"sender,omitempty"` // public curve key of who sealed
	Sealed  []byte `json:"sealed,omitempty"`
	Refused string `json:"refused,omitempty"`
	Retry   bool   `json:"retry,omitempty"`
}

// grant is the sealed part.
type grant struct {
	Execution string `json:"execution,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	Sensor    string `json:"sensor,omitempty"`
	Nonce     string `json:"nonce"`

	Values     map[marker.Ref]string `json:"values"`
	Parameters map[marker.Ref]string `json:"parameters,omitempty"`
	Config     map[marker.Ref]string `json:"config,omitempty"`
}

const (
	// maxNames bounds each list of one request.
	maxNames = 100
	// maxGrant bounds all values of one answer together, as JSON in bytes: sealed and encoded they have to be a message.
	maxGrant = 640 << 10
)

func parseRequest(data []byte) (request, error) {
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("parse request: %w", err)
	}
	all := slices.Concat(asRefs(r.Names), asRefs(r.Optional), r.Parameters, r.Config)
	longest := max(len(r.Names)+len(r.Optional), len(r.Parameters), len(r.Config))
	if r.Version != wireVersion || (r.Execution == "") == (r.Sensor == "") || len(all) == 0 || longest > maxNames {
		return r, fmt.Errorf("request of version %d for %d secrets: %w", r.Version, len(all), ErrRefused)
	}
	for _, ref := range all {
		if _, err := marker.ParseRef(string(ref)); err != nil {
			return r, fmt.Errorf("%w: %w", ErrBadName, err)
		}
	}
	return r, nil
}

// answers tells whether a grant is for this very request, and whole.
func (r request) answers(g grant) bool {
	return g.Execution == r.Execution && g.Attempt == r.Attempt && g.Sensor == r.Sensor && g.Nonce == r.Nonce &&
		has(g.Values, asRefs(r.Names)) && has(g.Parameters, r.Parameters) && has(g.Config, r.Config)
}

func has(values map[marker.Ref]string, refs []marker.Ref) bool {
	return !slices.ContainsFunc(refs, func(ref marker.Ref) bool { _, ok := values[ref]; return !ok })
}

// about says for whom the secrets are.
func (r request) about() string {
	if r.Sensor != "" {
		return "sensor " + r.Sensor
	}
	return "execution " + r.Execution
}

// sealTo seals a grant so that only the holder of the public key's seed can open it.
func sealTo(recipient string, g grant) (answer, error) {
	if !nkeys.IsValidPublicCurveKey(recipient) {
		return answer{}, fmt.Errorf("the runner has no curve key: %w", errTransient)
	}
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		return answer{}, fmt.Errorf("seal secrets: %w", err)
	}
	defer pair.Wipe()
	text, err := json.Marshal(g)
	if err != nil {
		return answer{}, errors.New("seal secrets: a value cannot be encoded") // without the cause, which may quote it
	}
	defer clear(text)
	if len(text) > maxGrant {
		return answer{}, fmt.Errorf("the secrets take %d bytes together, at most %d: %w", len(text), maxGrant, ErrRefused)
	}
	a := answer{Version: wireVersion}
	if a.Sealed, err = pair.Seal(text, recipient); err != nil {
		return answer{}, fmt.Errorf("seal secrets: %w", err)
	}
	a.Sender, err = pair.PublicKey()
	return a, err
}
