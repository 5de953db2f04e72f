package secret

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed is returned when something sealed does not open: it was changed, moved, or sealed with another key.
var ErrSealed = errors.New("sealed value does not open")

// envelope is a secret as it is stored.
type envelope struct {
	Version    int64
	KeyID      string
	WrappedKey []byte
	Sealed     []byte
}

// sealEnvelope seals a value under a fresh data key.
func (k *Key) sealEnvelope(name string, version int64, value []byte) (envelope, error) {
	dataKey := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(dataKey) // it never fails
	defer clear(dataKey)
	e := envelope{Version: version, KeyID: k.id}
	aead, err := chacha20poly1305.NewX(dataKey)
	if err != nil {
		return envelope{}, fmt.Errorf("data key: %w", err)
	}
	e.Sealed = seal(aead, value, bound("value", name, e))
	e.WrappedKey = seal(k.aead, dataKey, bound("key", name, e))
	return e, nil
}

// openEnvelope gives the value of the secret of that name.
func (k *Key) openEnvelope(name string, e envelope) ([]byte, error) {
	if e.KeyID != k.id {
		return nil, fmt.Errorf("secret %s is sealed with key %s, this is %s: %w", name, e.KeyID, k.id, ErrSealed)
	}
	dataKey, err := open(k.aead, e.WrappedKey, bound("key", name, e))
	if err != nil {
		return nil, fmt.Errorf("secret %s: data key: %w", name, err)
	}
	defer clear(dataKey)
	aead, err := chacha20poly1305.NewX(dataKey)
	if err != nil {
		return nil, fmt.Errorf("secret %s: data key: %w", name, err)
	}
	value, err := open(aead, e.Sealed, bound("value", name, e))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return value, nil
}

// bound is what is authenticated with a sealed value. No part can hold a NUL.
func bound(kind, name string, e envelope) []byte {
	return []byte("attune secret\x00" + kind + "\x00global\x00" + name + "\x00" + strconv.FormatInt(e.Version, 10) + "\x00" + e.KeyID)
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
