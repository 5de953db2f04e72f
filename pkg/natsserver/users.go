package natsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/attune/attune/streams"
)

var (
	// ErrUserExists is returned by Issue when there is a user of that name, revoked ones included: names of users
	// are in logs of servers, and must not come to mean somebody else.
	ErrUserExists = errors.New("there is a user of that name")
	// ErrNoSuchUser is returned by Revoke when nobody of that name was given credentials.
	ErrNoSuchUser = errors.New("no such user")
)

// User is somebody who was given credentials of their own: a service on another machine, whose access can be ended
// without touching the others'.
type User struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"` // one of streams.Users
	Key     string     `json:"key"`  // public
	Issued  time.Time  `json:"issued"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// issuedDir is the folder among the keys that remembers users. The secret part of their credentials is not kept.
const issuedDir = "issued"

// Issue makes credentials for a user with a role. The folder is that of the server's keys ("nats/keys" in the data
// folder of attune up), or the identities of a cluster. It returns ErrUserExists for a name that was used before.
func Issue(dir, name, role string) (creds []byte, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if _, err := streams.PermissionsOf(role); err != nil {
		return nil, fmt.Errorf("role of NATS user %s: %w", name, err)
	}
	k, err := loadKeys(dir)
	if err != nil {
		return nil, err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("key of NATS user %s: %w", name, err)
	}
	defer user.Wipe()
	claims, err := claimsOf(user, name)
	if err != nil {
		return nil, err
	}
	if creds, err = k.sign(claims, user, role); err != nil {
		return nil, err
	}
	return creds, remember(dir, User{Name: name, Role: role, Key: claims.Subject, Issued: time.Now().UTC()})
}

// checkName refuses what could not be the name of a file.
func checkName(name string) error {
	_, err := streams.Token(name)
	if err == nil && strings.ContainsAny(name, `/\\`) {
		err = streams.ErrBadToken
	}
	if err != nil {
		return fmt.Errorf("name of a NATS user %.40q: %w", name, err)
	}
	return nil
}

// remember keeps a new user. Of two at once with one name the second fails.
func remember(dir string, u User) error {
	if err := os.MkdirAll(filepath.Join(dir, issuedDir), 0o700); err != nil {
		return fmt.Errorf("folder of NATS users: %w", err)
	}
	f, err := os.OpenFile(userFile(dir, u.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("NATS user %s: %w", u.Name, ErrUserExists)
	}
	if err != nil {
		return fmt.Errorf("keep NATS user %s: %w", u.Name, err)
	}
	return errors.Join(json.NewEncoder(f).Encode(u), f.Sync(), f.Close())
}

func userFile(dir, name string) string { return filepath.Join(dir, issuedDir, name+".json") }

// Issued lists the users that were given credentials, by name.
func Issued(dir string) (users []User, err error) {
	files, err := filepath.Glob(userFile(dir, "*"))
	if err != nil {
		return nil, fmt.Errorf("list NATS users: %w", err)
	}
	for _, file := range files {
		u, err := readUser(file)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return users, nil
}

func readUser(file string) (u User, err error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return u, fmt.Errorf("read NATS user: %w", err)
	}
	if err := json.Unmarshal(text, &u); err != nil {
		return u, fmt.Errorf("read NATS user %s: %w", file, err)
	}
	return u, nil
}

// Revoke ends a user's access for ever. Servers that run disconnect them within seconds. A second time it changes
// nothing.
func Revoke(dir, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	u, err := readUser(userFile(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("NATS user %s: %w", name, ErrNoSuchUser)
	}
	if err != nil || u.Revoked != nil {
		return err
	}
	now := time.Now().UTC()
	u.Revoked = &now
	text, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("keep NATS user %s: %w", name, err)
	}
	return writeFile(userFile(dir, name), text)
}

// addRevocations tells an account whom it must not let in any more.
func (k keys) addRevocations(account *jwt.AccountClaims) error {
	out, err := k.revoked()
	for _, u := range out {
		account.RevokeAt(u.Key, *u.Revoked)
	}
	return err
}

// revoked gives the users whose access was ended.
func (k keys) revoked() ([]User, error) {
	users, err := Issued(k.dir)
	return slices.DeleteFunc(users, func(u User) bool { return u.Revoked == nil }), err
}
