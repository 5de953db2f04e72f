package secret

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed is returned when something sealed does not open: it was changed, moved, or sealed with another key.
var ErrSealed = errors.New("sealed value does not open")

// The form of an envelope says what is authenticated with its parts.
const (
	formFirst = 1 // both parts are bound to the key; only global secrets without an end have it
	form      = 2 // only the wrapped data key is, so that it can be wrapped anew without the value
)

// envelope is a version of a secret as it is stored.
type envelope struct {
	Ref

	Version    int64
	Form       int
	KeyID      string
	WrappedKey []byte
	Sealed     []byte
	ExpiresAt  *time.Time

	stale bool // the data key is to be replaced, or was
}

// fill seals a value under a fresh data key, which the wrapper seals. Everything else must be set.
func (e *envelope) fill(ctx context.Context, w Wrapper, value []byte) error {
	dataKey := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(dataKey) // it never fails
	defer clear(dataKey)
	aead, err := chacha20poly1305.NewX(dataKey)
	if err != nil {
		return fmt.Errorf("data key: %w", err)
	}
	e.Form, e.KeyID = form, w.ID()
	e.Sealed = seal(aead, value, e.boundToValue())
	if e.WrappedKey, err = w.Wrap(ctx, dataKey, e.boundToKey()); err != nil {
		return fmt.Errorf("data key: %w", err)
	}
	return nil
}

// value opens an envelope with the key that it names.
func (e envelope) value(ctx context.Context, w Wrapper) ([]byte, error) {
	dataKey, err := e.dataKey(ctx, w)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	aead, err := chacha20poly1305.NewX(dataKey)
	if err != nil {
		return nil, fmt.Errorf("secret %s: data key: %w", e.Ref, err)
	}
	value, err := open(aead, e.Sealed, e.boundToValue())
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", e.Ref, err)
	}
	return value, nil
}

func (e envelope) dataKey(ctx context.Context, w Wrapper) ([]byte, error) {
	if e.KeyID != w.ID() {
		return nil, fmt.Errorf("secret %s is sealed with key %s, this is %s: %w", e.Ref, e.KeyID, w.ID(), ErrSealed)
	}
	dataKey, err := w.Unwrap(ctx, e.WrappedKey, e.boundToKey())
	if err != nil {
		return nil, fmt.Errorf("secret %s: data key: %w", e.Ref, err)
	}
	return dataKey, nil
}

// rewrap seals the data key with another key. The value stays as it is.
func (e *envelope) rewrap(ctx context.Context, from, to Wrapper) error {
	dataKey, err := e.dataKey(ctx, from)
	if err != nil {
		return err
	}
	defer clear(dataKey)
	e.KeyID = to.ID()
	if e.WrappedKey, err = to.Wrap(ctx, dataKey, e.boundToKey()); err != nil {
		return fmt.Errorf("secret %s: data key: %w", e.Ref, err)
	}
	return nil
}

// boundToValue is what is authenticated with the sealed value. No part can hold a NUL.
func (e envelope) boundToValue() []byte {
	if e.Form == formFirst {
		return e.boundFirst("value")
	}
	return bound("value", e.Ref, e.Version, e.ExpiresAt)
}

// boundToKey is what is authenticated with the wrapped data key.
func (e envelope) boundToKey() []byte {
	if e.Form == formFirst {
		return e.boundFirst("key")
	}
	return append(bound("key", e.Ref, e.Version, e.ExpiresAt), "\x00"+e.KeyID...)
}

func bound(kind string, ref Ref, version int64, end *time.Time) []byte {
	until := ""
	if end != nil {
		until = strconv.FormatInt(end.UnixMicro(), 10)
	}
	return []byte(strings.Join([]string{"attune secret 2", kind, string(ref.Owner), ref.Name, strconv.FormatInt(version, 10), until}, "\x00"))
}

// boundFirst does not know of ends: none can be added to such an envelope.
func (e envelope) boundFirst(kind string) []byte {
	text := "attune secret\x00" + kind + "\x00" + string(e.Owner) + "\x00" + e.Name + "\x00" + strconv.FormatInt(e.Version, 10) + "\x00" + e.KeyID
	if e.ExpiresAt != nil {
		text += "\x00never"
	}
	return []byte(text)
}

// seal gives the nonce and the sealed text behind it.
func seal(aead cipher.AEAD, text, with []byte) []byte {
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return aead.Seal(nonce, nonce, text, with)
}

func open(aead cipher.AEAD, sealed, with []byte) ([]byte, error) {
	if len(sealed) < aead.NonceSize() {
		return nil, ErrSealed
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], with)
	if err != nil {
		return nil, ErrSealed
	}
	return text, nil
}
