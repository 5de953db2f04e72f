package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nkeys"
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

// request asks for the values of secrets.
type request struct {
	Version   int      `json:"v"`
	Execution string   `json:"execution"`
	Attempt   int      `json:"attempt"`
	Names     []string `json:"names"`
	Nonce     string   `json:"nonce"` // comes back in the sealed part, so that an old answer is none to a new question
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
	Execution string            `json:"execution"`
	Attempt   int               `json:"attempt"`
	Nonce     string            `json:"nonce"`
	Values    map[string]string `json:"values"`
}

// maxNames bounds one request.
const maxNames = 64

func parseRequest(data []byte) (request, error) {
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("parse request: %w", err)
	}
	if r.Version != wireVersion || r.Execution == "" || len(r.Names) == 0 || len(r.Names) > maxNames {
		return r, fmt.Errorf("request of version %d for %d secrets: %w", r.Version, len(r.Names), ErrRefused)
	}
	if i := slices.IndexFunc(r.Names, func(n string) bool { return !ValidName(n) }); i >= 0 {
		return r, fmt.Errorf("%.70q: %w", r.Names[i], ErrBadName)
	}
	return r, nil
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
	a := answer{Version: wireVersion}
	if a.Sealed, err = pair.Seal(text, recipient); err != nil {
		return answer{}, fmt.Errorf("seal secrets: %w", err)
	}
	a.Sender, err = pair.PublicKey()
	return a, err
}
