package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The parameters of argon2id, the second choice of OWASP's password storage cheat sheet. 19 MiB for each of two at a
// time is what a small machine can spare.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	saltLen      = 16
	keyLen       = 32
	hashers      = 2
)

// Bounds of a password, in characters and bytes.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// ErrPassword is returned for a password that may not be set.
var ErrPassword = fmt.Errorf("a password takes %d characters at least and %d bytes at most", MinPassword, MaxPassword)

// hashing bounds how many passwords are hashed at once, and with it the memory that strangers can make us use.
var hashing = make(chan struct{}, hashers)

// HashPassword gives the PHC string of a password under a new salt.
func HashPassword(ctx context.Context, password string) (string, error) {
	if utf8.RuneCountInString(password) < MinPassword || len(password) > MaxPassword || !utf8.ValidString(password) {
		return "", ErrPassword
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	key, err := derive(ctx, password, phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: salt}, keyLen)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(key)), nil
}

// phc is the part of a PHC string that says how the key is derived.
type phc struct {
	memory, time uint32
	threads      uint8
	salt         []byte
}

func derive(ctx context.Context, password string, p phc, length uint32) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, length), nil
}

// errPHC is returned for a stored hash that cannot be read.
var errPHC = errors.New("not an argon2id hash that can be read")

// Bounds of what a stored hash may ask for: whoever can write it must not be able to stop the service with it.
const (
	maxMemory = 1 << 20 // KiB
	maxTime   = 64
)

func parsePHC(text string) (p phc, key []byte, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, errPHC
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, nil, errPHC
	}
	if p.memory < 8 || p.memory > maxMemory || p.time < 1 || p.time > maxTime || p.threads < 1 {
		return p, nil, errPHC
	}
	var errSalt, errKey error
	p.salt, errSalt = base64.RawStdEncoding.DecodeString(parts[4])
	key, errKey = base64.RawStdEncoding.DecodeString(parts[5])
	if errSalt != nil || errKey != nil || len(p.salt) < 8 || len(key) < 16 || len(key) > 128 {
		return p, nil, errPHC
	}
	return p, key, nil
}

// dummy is what a password is compared with where there is no user, so that both take the same time.
const dummy = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// checkPassword tells whether a password has a hash. Without a hash it takes as long, and says no.
func checkPassword(ctx context.Context, password, hash string) (bool, error) {
	if len(password) > MaxPassword {
		return false, nil
	}
	none := hash == ""
	if none {
		hash = dummy
	}
	p, want, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	got, err := derive(ctx, password, p, uint32(len(want))) //nolint:gosec // at most 128
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !none, nil
}
