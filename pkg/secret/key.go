package secret

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"

	"golang.org/x/crypto/chacha20poly1305"
)

// keyPrefix begins a key in a file, so that nothing else is taken for one.
const keyPrefix = "attune-key-1:"

// Key is a Wrapper with a key that this process has. It shows nothing of itself but its id.
type Key struct {
	id   string
	aead cipher.AEAD
}

// ID names the key; it follows from it and does not lead back to it.
func (k *Key) ID() string { return k.id }

// Wrap seals a data key.
func (k *Key) Wrap(_ context.Context, dataKey, with []byte) ([]byte, error) {
	return seal(k.aead, dataKey, with), nil
}

// Unwrap opens a data key.
func (k *Key) Unwrap(_ context.Context, wrapped, with []byte) ([]byte, error) {
	return open(k.aead, wrapped, with)
}

// LogValue keeps the key out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue("key " + k.id) }

// String keeps the key out of texts.
func (k *Key) String() string { return "key " + k.id }

// GoString keeps the key out of texts.
func (k *Key) GoString() string { return k.String() }

func newKey(raw []byte) (*Key, error) {
	aead, err := chacha20poly1305.NewX(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	sum := sha256.Sum256(append([]byte("attune key id\x00"), raw...))
	return &Key{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

// freshLine is a new key as a line of a key file.
func freshLine() string {
	raw := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(raw) // it never fails
	defer clear(raw)
	return keyPrefix + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// parseKey reads a line that freshLine made.
func parseKey(line []byte) (*Key, error) {
	text := line[len(keyPrefix):]
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(raw)
	n, err := base64.StdEncoding.Decode(raw, text)
	if err != nil || n != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("not a key of %d bytes: %w", chacha20poly1305.KeySize, ErrKeyFile)
	}
	return newKey(raw[:n])
}
