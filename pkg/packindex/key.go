package packindex

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	publicPrefix  = "attune-index-key-"
	privatePrefix = "attune-index-private-key-"
	// domain keeps a signature of something else from counting as one of an index.
	domain = "attune pack index 1\n"
)

var (
	// ErrUntrusted is returned when an index is not signed by a key that is trusted.
	ErrUntrusted = errors.New("not signed by a key that is trusted")
	// ErrKey is returned when a text or file is not a key.
	ErrKey = errors.New("not a key of an index")
)

// PublicKey is what an index is verified with.
type PublicKey struct{ key ed25519.PublicKey }

// PrivateKey is what an index is signed with.
type PrivateKey struct{ key ed25519.PrivateKey }

// String gives the key as it is handed around.
func (k PublicKey) String() string { return publicPrefix + base64.RawURLEncoding.EncodeToString(k.key) }

// Public gives the key that verifies what this one signs.
func (k PrivateKey) Public() PublicKey {
	public, _ := k.key.Public().(ed25519.PublicKey)
	return PublicKey{public}
}

// NewKey makes a key.
func NewKey() (PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return PrivateKey{key}, err
}

// ParseKeys reads public keys, separated by commas or spaces.
func ParseKeys(text string) ([]PublicKey, error) {
	var keys []PublicKey
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		if strings.HasPrefix(field, privatePrefix) {
			return nil, fmt.Errorf("a private key is %w to verify with: give the public one, and keep this one secret", ErrKey)
		}
		key, err := decode(field, publicPrefix, ed25519.PublicKeySize)
		if err != nil {
			return nil, fmt.Errorf("%.100q is %w", field, err)
		}
		keys = append(keys, PublicKey{key})
	}
	return keys, nil
}

func decode(text, prefix string, size int) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(b) != size {
		return nil, ErrKey
	}
	return b, nil
}

// Save writes a private key to a new file that nobody else can read.
func (k PrivateKey) Save(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	_, err = f.WriteString(privatePrefix + base64.RawURLEncoding.EncodeToString(k.key.Seed()) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return nil
}

// LoadKey reads a private key from a file that nobody else may read.
func LoadKey(name string) (PrivateKey, error) {
	info, err := os.Stat(name)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("read key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return PrivateKey{}, fmt.Errorf("key %s can be read by others: chmod 600 it, and make a new one if they may have", name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("read key: %w", err)
	}
	seed, err := decode(strings.TrimSpace(string(data)), privatePrefix, ed25519.SeedSize)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%s is %w", name, err)
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// signature is the content of a signature's file.
type signature struct {
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// Sign gives the signature's file for a list.
func (k PrivateKey) Sign(list []byte) ([]byte, error) {
	b, err := json.Marshal(signature{Key: k.Public().String(), Signature: ed25519.Sign(k.key, append([]byte(domain), list...))})
	return append(b, '\n'), err
}

// UntrustedError says which key signed an index that is not trusted. It is ErrUntrusted.
type UntrustedError struct {
	Key string // "" when there is no signature
	Why string
}

// Error says why the index is not trusted.
func (e *UntrustedError) Error() string { return "the index is " + ErrUntrusted.Error() + ": " + e.Why }

// Unwrap gives ErrUntrusted and ErrIndex.
func (e *UntrustedError) Unwrap() []error { return []error{ErrUntrusted, ErrIndex} }

func verify(list, sig []byte, keys []PublicKey) error {
	if len(sig) == 0 {
		return &UntrustedError{Why: "it has no signature (" + SignatureName + ")"}
	}
	var s signature
	if err := json.Unmarshal(sig, &s); err != nil {
		return &UntrustedError{Why: SignatureName + " is not a signature"}
	}
	given, err := ParseKeys(s.Key)
	if err != nil || len(given) != 1 {
		return &UntrustedError{Why: SignatureName + " names no key"}
	}
	for _, k := range keys {
		if k.key.Equal(given[0].key) {
			if !ed25519.Verify(k.key, append([]byte(domain), list...), s.Signature) {
				return &UntrustedError{Why: "the signature is not one of this list: it was changed after it was signed, or is being replaced just now"}
			}
			return nil
		}
	}
	return &UntrustedError{Key: given[0].String(), Why: "it is signed by " + given[0].String()}
}
