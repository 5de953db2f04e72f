package secret

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

var (
	// ErrKeyMissing is returned when there are secrets in the database and no key in the file.
	ErrKeyMissing = errors.New("key of the secrets is missing")
	// ErrKeyWrong is returned when the key in the file is not the one that the secrets are sealed with.
	ErrKeyWrong = errors.New("key of the secrets is another one")
	// ErrKeyFile is returned when the key's file is not what this package wrote, or others may read it.
	ErrKeyFile = errors.New("key file is not acceptable")
)

// keyPrefix begins a key file, so that nothing else is taken for one.
const keyPrefix = "attune-key-1:"

// Key seals data keys. It shows nothing of itself but its id.
type Key struct {
	id   string
	aead cipher.AEAD
}

// ID names the key; it follows from it and does not lead back to it.
func (k *Key) ID() string { return k.id }

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

// loadKey reads a key file. The error is fs.ErrNotExist when there is none.
func loadKey(file string) (*Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v, want 0400: %w", file, info.Mode(), ErrKeyFile)
	}
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	defer clear(content)
	text, ok := strings.CutPrefix(strings.TrimSpace(string(content)), keyPrefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("%s does not hold a key: %w", file, ErrKeyFile)
	}
	defer clear(raw)
	return newKey(raw)
}

// createKey makes a key file, which must not exist, and gives its key.
func createKey(file string) (*Key, error) {
	raw := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(raw) // it never fails
	defer clear(raw)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	if err := writeOnce(file, keyPrefix+base64.StdEncoding.EncodeToString(raw)+"\n"); err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	return newKey(raw)
}

// writeOnce writes a file that appears whole, on the disk, or not at all, and never replaces another.
func writeOnce(file, content string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Close(), ignoreAbsent(os.Remove(tmp.Name()))) }()
	if err := tmp.Chmod(0o400); err != nil {
		return err
	}
	if _, err := tmp.WriteString(content); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), file); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncFolder(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
