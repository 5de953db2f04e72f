package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"strings"
)

// TokenPrefix begins every API token, so that scanners for leaked ones can tell them.
const TokenPrefix = "att_"

// SessionPrefix begins a session's text where it is sent in place of a token: by a command line whose user signed in.
const SessionPrefix = "ats_"

// Lengths of the two parts of a credential.
const (
	idLen     = 16 // characters, of 80 bits
	secretLen = 52 // characters, of 256 bits
)

// letters are those of base32 in lower case, so that a double click takes all of a credential.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// credential is an id by which it is found, and a secret that proves it: ID_SECRET.
type credential struct {
	id     string
	secret string
}

func newCredential() credential {
	var id [10]byte
	var secret [32]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	return credential{id: letters.EncodeToString(id[:]), secret: letters.EncodeToString(secret[:])}
}

func (c credential) String() string { return c.id + "_" + c.secret }

// hash is what is kept of the secret. Nothing slower is needed for what is random.
func (c credential) hash() []byte {
	sum := sha256.Sum256([]byte(c.secret))
	return sum[:]
}

// proves tells whether the secret is the one that has a hash.
func (c credential) proves(hash []byte) bool {
	return subtle.ConstantTimeCompare(c.hash(), hash) == 1
}

// parseCredential reads ID_SECRET. What has another form cannot be one of ours.
func parseCredential(text string) (credential, bool) {
	id, secret, ok := strings.Cut(text, "_")
	return credential{id: id, secret: secret}, ok && len(id) == idLen && len(secret) == secretLen
}

// IsToken tells whether text has the form of an API token, right or wrong.
func IsToken(text string) bool { return strings.HasPrefix(text, TokenPrefix) }
