package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// External is a user whom another service has proved.
type External struct {
	Issuer  string
	Subject string // who it is there, for ever
	Name    string // what it is called here, when it comes for the first time
	Rights
}

// SignInExternal makes or finds the user of an issuer's subject, gives it the rights that it has now, and tells its
// name. It returns ErrExists when the name belongs to somebody else, and ErrRefused for one that is disabled.
func (s *Store) SignInExternal(ctx context.Context, e External) (string, error) {
	if !userName.MatchString(e.Name) {
		return "", fmt.Errorf("user %.80q: %w", e.Name, ErrName)
	}
	if err := e.Rights.check(); err != nil {
		return "", fmt.Errorf("user %s: %w", e.Name, err)
	}
	var name string
	var disabled bool
	err := s.pool.QueryRow(ctx, `INSERT INTO users AS u (name, issuer, subject, role, packs, grants, created_by) VALUES ($1, $2, $3, $4, $5, $6, $2)
		ON CONFLICT (issuer, subject) WHERE issuer <> '' DO UPDATE SET role = excluded.role, packs = excluded.packs, grants = excluded.grants
		RETURNING name, disabled`, e.Name, e.Issuer, e.Subject, string(e.Role), e.Rights.packs(), e.texts()).Scan(&name, &disabled)
	switch {
	case taken(err):
		return "", fmt.Errorf("user %s: %w", e.Name, ErrExists)
	case err != nil:
		return "", fmt.Errorf("sign in user %s of %s: %w", e.Subject, e.Issuer, err)
	case disabled:
		return "", ErrRefused
	}
	return name, nil
}

// codeLasts is how long a command line may take to fetch its session.
const codeLasts = time.Minute

// Challenge is what OpenCode takes of a verifier: S256 of PKCE.
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// OpenCode makes a code by which whoever knows the challenge's verifier may open a session of a user, once.
func (s *Store) OpenCode(ctx context.Context, user, challenge string) (string, error) {
	c := newCredential()
	_, err := s.pool.Exec(ctx, `WITH old AS (DELETE FROM sign_in_codes WHERE expires_at <= now())
		INSERT INTO sign_in_codes (hash, challenge, user_name, expires_at) VALUES ($1, $2, $3, $4)`,
		c.hash(), challenge, user, time.Now().Add(codeLasts))
	if err != nil {
		return "", fmt.Errorf("open code for user %.80q: %w", user, err)
	}
	return c.secret, nil
}

// RedeemCode tells whom a code was made for. Right or wrong, the code is used up. It returns ErrRefused.
func (s *Store) RedeemCode(ctx context.Context, code, verifier string) (string, error) {
	var user, challenge string
	err := s.pool.QueryRow(ctx, `DELETE FROM sign_in_codes WHERE hash = $1 AND expires_at > now() RETURNING user_name, challenge`,
		credential{secret: code}.hash()).Scan(&user, &challenge)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrRefused
	}
	if err != nil {
		return "", fmt.Errorf("redeem code: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(Challenge(verifier)), []byte(challenge)) != 1 {
		return "", ErrRefused
	}
	return user, nil
}
