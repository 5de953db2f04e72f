package secret

import (
	"context"
	"errors"

	"github.com/attune/attune/pkg/credential"
)

// Wrapper seals data keys with one key-encryption key, which may be elsewhere. What is wrapped opens only with the
// same text to go with it; the error is ErrSealed when it does not.
type Wrapper interface {
	ID() string
	Wrap(ctx context.Context, dataKey, with []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, with []byte) ([]byte, error)
}

// Source is a place that key-encryption keys come from.
type Source interface {
	// String is what the operator knows the place by.
	String() string
	// Load gives the keys that are there now, the newest first. That there is none yet is no error.
	Load(ctx context.Context) ([]Wrapper, error)
}

// maker is a Source that can make a key, which is its newest then.
type maker interface {
	Make() error
}

var (
	// ErrKeyMissing is returned when something is sealed with a key and this process has no key at all.
	ErrKeyMissing = errors.New("key of the secrets is missing")
	// ErrKeyWrong is returned when something is sealed with a key, and those that this process has are others.
	ErrKeyWrong = errors.New("key of the secrets is another one")
	// ErrKeyFile is returned when a file of keys is not what this package wrote, or others may read it.
	ErrKeyFile = credential.ErrFile
	// ErrNoNewKey is returned by Rekey when there is no key to go over to.
	ErrNoNewKey = errors.New("there is no new key")
)
