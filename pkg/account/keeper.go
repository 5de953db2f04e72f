package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/lifecycle"
)

// Every is how often a keeper looks whether anything has changed.
const Every = 2 * time.Second

// How often the keeper looks because of a credential that it does not know, and how often it writes down what was used.
const (
	missEvery  = 100 * time.Millisecond
	touchEvery = time.Minute
)

var (
	// ErrUnknown is returned for a credential that proves nobody: wrong, revoked, expired, or of a disabled user.
	ErrUnknown = errors.New("the credential proves nobody")
	// ErrUnread is returned while the store has never been read: PostgreSQL has been away since the start.
	ErrUnread = errors.New("who may do what has not been read yet")
)

// Caller is a principal that has proved who it is.
type Caller struct {
	access.Principal
	Expires time.Time // zero: never
	Session string    // its id, when it came by one

	hash []byte
	gone chan struct{} // closed when the credential is no longer good, or good for something else
}

// Gone is closed when the credential is no longer good, or good for something else. It is not closed by the expiry.
func (c *Caller) Gone() <-chan struct{} { return c.gone }

func (c *Caller) expired(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

func (c *Caller) same(o *Caller) bool {
	return c.Name == o.Name && c.Expires.Equal(o.Expires) && slices.Equal(c.hash, o.hash) && reflect.DeepEqual(c.Grants, o.Grants)
}

// Keeper knows all credentials that are good, and follows the store.
type Keeper struct {
	store *Store
	log   *slog.Logger
	every time.Duration

	refreshing sync.Mutex // one reading of the store at a time

	mu       sync.Mutex // guards the fields below
	read     bool
	revision int64
	tokens   map[string]*Caller // by the credential's id
	sessions map[string]*Caller
	used     map[string]bool // ids of tokens since the last time that it was written down
	missedAt time.Time
}

// NewKeeper makes a keeper, which knows nothing until it runs.
func NewKeeper(s *Store, log *slog.Logger) *Keeper {
	return &Keeper{store: s, log: log, every: Every, used: map[string]bool{}}
}

// Run follows the store until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	look := time.NewTimer(lifecycle.UntilBeat(k.every))
	defer look.Stop()
	touch := time.NewTicker(touchEvery)
	defer touch.Stop()
	for {
		if err := k.Refresh(ctx); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "who may do what cannot be read, using what was last known", slog.Any("error", err))
		}
		select {
		case <-look.C:
			look.Reset(lifecycle.UntilBeat(k.every))
		case <-touch.C:
			k.touch(ctx)
		case <-ctx.Done():
			k.touch(context.WithoutCancel(ctx))
			return context.Cause(ctx)
		}
	}
}

// touch writes down which tokens were used. What cannot be written is forgotten.
func (k *Keeper) touch(ctx context.Context) {
	k.mu.Lock()
	ids := slices.Sorted(maps.Keys(k.used))
	clear(k.used)
	k.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := k.store.Touch(ctx, ids, time.Now()); err != nil {
		k.log.DebugContext(ctx, "use of tokens not written down", slog.Any("error", err))
	}
}

// Refresh reads the store if it has changed: whoever changed it here sees the change in the next call.
func (k *Keeper) Refresh(ctx context.Context) error {
	k.refreshing.Lock()
	defer k.refreshing.Unlock()
	revision, err := k.store.Revision(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	known := k.read && k.revision == revision
	k.mu.Unlock()
	if known {
		return nil
	}
	tokens, sessions, revision, err := k.store.callers(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens, k.sessions = replace(k.tokens, tokens), replace(k.sessions, sessions)
	k.read, k.revision = true, revision
	return nil
}

// replace keeps what has not changed, and says goodbye to the rest.
func replace(old, now map[string]*Caller) map[string]*Caller {
	for id, c := range old {
		if next, ok := now[id]; ok && next.same(c) {
			now[id] = c
			continue
		}
		close(c.gone)
	}
	return now
}

// Token gives whom an API token proves. It returns ErrUnknown or ErrUnread.
func (k *Keeper) Token(ctx context.Context, text string) (*Caller, error) {
	c, ok := parseCredential(strings.TrimPrefix(text, TokenPrefix))
	if !ok || !IsToken(text) {
		return nil, ErrUnknown
	}
	found, err := k.find(ctx, c, func() map[string]*Caller { return k.tokens })
	if err == nil {
		k.mu.Lock()
		k.used[c.id] = true
		k.mu.Unlock()
	}
	return found, err
}

// Session gives whom a session's text proves. It returns ErrUnknown or ErrUnread.
func (k *Keeper) Session(ctx context.Context, text string) (*Caller, error) {
	c, ok := parseCredential(text)
	if !ok {
		return nil, ErrUnknown
	}
	return k.find(ctx, c, func() map[string]*Caller { return k.sessions })
}

func (k *Keeper) find(ctx context.Context, c credential, in func() map[string]*Caller) (*Caller, error) {
	found, read, look := k.lookup(c.id, in)
	if found == nil && look {
		if err := k.Refresh(ctx); err != nil {
			k.log.DebugContext(ctx, "who may do what cannot be read", slog.Any("error", err))
		}
		found, read, _ = k.lookup(c.id, in)
	}
	switch {
	case !read:
		return nil, ErrUnread
	case found == nil || !c.proves(found.hash) || found.expired(time.Now()):
		return nil, ErrUnknown
	}
	return found, nil
}

// lookup tells also whether the store may be asked: what is not known may be new, but strangers must not make us ask
// all the time.
func (k *Keeper) lookup(id string, in func() map[string]*Caller) (found *Caller, read, look bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found = in()[id]
	if found == nil && time.Since(k.missedAt) >= missEvery {
		k.missedAt, look = time.Now(), true
	}
	return found, k.read, look
}

// sessionRow is a session with its user's name.
type sessionRow struct {
	ID        string    `db:"id"`
	Hash      []byte    `db:"hash"`
	User      string    `db:"user_name"`
	ExpiresAt time.Time `db:"expires_at"`
}

// callers reads all credentials that are good, as of one moment.
func (s *Store) callers(ctx context.Context) (tokens, sessions map[string]*Caller, revision int64, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT revision FROM access_revision").Scan(&revision); err != nil {
			return fmt.Errorf("read who may do what: %w", err)
		}
		if tokens, err = tokenCallers(ctx, tx); err != nil {
			return err
		}
		sessions, err = sessionCallers(ctx, tx)
		return err
	})
	return tokens, sessions, revision, err
}

// readable gives the grants of one who may do something, or none when they cannot be read, as those that a newer
// version wrote: one such row must not keep everybody else from being read.
func readable(role string, packs, grants []string) []access.Grant {
	r, err := rightsOf(role, packs, grants)
	if err != nil {
		return nil
	}
	all, err := r.All()
	if err != nil {
		return nil
	}
	return all
}

func tokenCallers(ctx context.Context, tx pgx.Tx) (map[string]*Caller, error) {
	rows, err := collect[tokenRow](ctx, tx, "read tokens", `SELECT `+tokenColumns+` FROM api_tokens
		WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`)
	if err != nil {
		return nil, err
	}
	out := map[string]*Caller{}
	for _, r := range rows {
		c := &Caller{
			Principal: access.Principal{Name: access.NameOfToken(r.Name), Grants: readable(r.Role, r.Packs, r.Grants)},
			hash:      r.Hash, gone: make(chan struct{}),
		}
		if r.ExpiresAt != nil {
			c.Expires = r.ExpiresAt.UTC()
		}
		out[r.ID] = c
	}
	return out, nil
}

func sessionCallers(ctx context.Context, tx pgx.Tx) (map[string]*Caller, error) {
	users, err := collect[userRow](ctx, tx, "read users", `SELECT `+userColumns+` FROM users WHERE NOT disabled`)
	if err != nil {
		return nil, err
	}
	grants := map[string][]access.Grant{}
	for _, r := range users {
		grants[r.Name] = readable(r.Role, r.Packs, r.Grants)
	}
	rows, err := collect[sessionRow](ctx, tx, "read sessions", `SELECT id, hash, user_name, expires_at FROM sessions WHERE expires_at > now()`)
	if err != nil {
		return nil, err
	}
	out := map[string]*Caller{}
	for _, r := range rows {
		if all, ok := grants[r.User]; ok {
			out[r.ID] = &Caller{
				Principal: access.Principal{Name: access.NameOfUser(r.User), Grants: all}, Expires: r.ExpiresAt.UTC(), Session: r.ID,
				hash: r.Hash, gone: make(chan struct{}),
			}
		}
	}
	return out, nil
}
