package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

// transit is the Source that is a key of Vault's Transit engine. Each of its versions is a key; they never leave the
// server, which seals and opens data keys.
type transit struct {
	vault *vault
}

// names that need no escaping in a path.
var transitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){0,3}$`)

// sealing are the types of keys that authenticate a text that goes with what they seal.
var sealing = []string{"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"}

// Vault is the Source that is a key of the Transit engine of a HashiCorp Vault or OpenBao server. Nothing is done in
// another way while the server cannot be reached.
func Vault(c VaultConfig) (Source, error) {
	if !transitName.MatchString(c.Mount) || !transitName.MatchString(c.Key) {
		return nil, fmt.Errorf("%w: mount %.70q and key %.70q must be plain names", ErrVaultConfig, c.Mount, c.Key)
	}
	v, err := newVault(c)
	if err != nil {
		return nil, err
	}
	return &transit{vault: v}, nil
}

func (t *transit) String() string {
	return "vault, " + t.path("keys") + " at " + t.vault.config.Address
}

// hint says how a new key is made.
func (t *transit) hint() string { return "vault write -f " + t.path("keys") + "/rotate" }

func (t *transit) path(what string) string {
	return t.vault.config.Mount + "/" + what + "/" + t.vault.config.Key
}

// Load gives the versions that may be used.
func (t *transit) Load(ctx context.Context) ([]Wrapper, error) {
	var key struct {
		Type       string `json:"type"`
		Derived    bool   `json:"derived"`
		Latest     int    `json:"latest_version"`
		Available  int    `json:"min_available_version"`
		Decryption int    `json:"min_decryption_version"`
	}
	err := t.vault.call(ctx, http.MethodGet, t.path("keys"), nil, &key)
	var r *refused
	if errors.As(err, &r) && r.status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: vault has no key %s: vault write -f %s type=aes256-gcm96", ErrKeyMissing, t.path("keys"), t.path("keys"))
	}
	if err != nil {
		return nil, err
	}
	if !slices.Contains(sealing, key.Type) || key.Derived || key.Latest < 1 {
		return nil, fmt.Errorf("%w: key %s is of type %.40q, derived %t; want one of %v, not derived", ErrVaultConfig, t.path("keys"), key.Type, key.Derived, sealing)
	}
	var versions []Wrapper
	for n := key.Latest; n >= max(1, key.Decryption, key.Available); n-- {
		versions = append(versions, transitKey{source: t, version: n})
	}
	return versions, nil
}

// transitKey is a version of a key.
type transitKey struct {
	source  *transit
	version int
}

// ID names engine, key and version, in which no two keys of one server are alike.
func (k transitKey) ID() string {
	return "vault:" + k.source.vault.config.Mount + "/" + k.source.vault.config.Key + ":v" + strconv.Itoa(k.version)
}

// Wrap has the server seal a data key.
func (k transitKey) Wrap(ctx context.Context, dataKey, with []byte) ([]byte, error) {
	in := struct {
		Plaintext []byte `json:"plaintext"` // in JSON these are base64
		With      []byte `json:"associated_data"`
		Version   int    `json:"key_version"`
	}{dataKey, with, k.version}
	var out struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := k.source.vault.call(ctx, http.MethodPost, k.source.path("encrypt"), in, &out); err != nil {
		return nil, err
	}
	wrapped := []byte(out.Ciphertext)
	if !bytes.HasPrefix(wrapped, k.prefix()) || bytes.Contains(wrapped, dataKey) {
		return nil, fmt.Errorf("%w: %s did not seal with version %d", ErrVault, k.source, k.version)
	}
	return wrapped, nil
}

// Unwrap has the server open a data key.
func (k transitKey) Unwrap(ctx context.Context, wrapped, with []byte) ([]byte, error) {
	if !bytes.HasPrefix(wrapped, k.prefix()) {
		return nil, fmt.Errorf("not sealed with version %d: %w", k.version, ErrSealed)
	}
	in := struct {
		Ciphertext string `json:"ciphertext"`
		With       []byte `json:"associated_data"`
	}{string(wrapped), with}
	var out struct {
		Plaintext []byte `json:"plaintext"`
	}
	err := k.source.vault.call(ctx, http.MethodPost, k.source.path("decrypt"), in, &out)
	var r *refused
	if errors.As(err, &r) && r.status == http.StatusBadRequest {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// prefix is what the server writes before what it sealed.
func (k transitKey) prefix() []byte { return []byte("vault:v" + strconv.Itoa(k.version) + ":") }
