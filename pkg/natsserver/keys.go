package natsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// keys are the server's identities. The account that holds the streams must stay the same, for the server
// stores them under its key; so all are kept. Users are named by tokens that their account's key signs:
// a further user, with fewer permissions, needs no change of the server.
type keys struct {
	operator, system, app nkeys.KeyPair
	dir                   string
}

func loadKeys(dir string) (keys, error) {
	k := keys{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, fmt.Errorf("folder of NATS keys: %w", err)
	}
	var errOperator, errSystem, errApp error
	k.operator, errOperator = k.load("operator", nkeys.CreateOperator)
	k.system, errSystem = k.load("system-account", nkeys.CreateAccount)
	k.app, errApp = k.load("attune-account", nkeys.CreateAccount)
	return k, errors.Join(errOperator, errSystem, errApp)
}

// load reads a key from its file, or makes both.
func (k keys) load(name string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	file := filepath.Join(k.dir, name+".nk")
	seed, err := os.ReadFile(file)
	if err == nil {
		pair, err := nkeys.FromSeed(seed)
		if err != nil {
			return nil, fmt.Errorf("NATS key %s: %w", file, err)
		}
		return pair, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("NATS key: %w", err)
	}
	pair, err := create()
	if err != nil {
		return nil, fmt.Errorf("make NATS key %s: %w", name, err)
	}
	if seed, err = pair.Seed(); err != nil {
		return nil, fmt.Errorf("make NATS key %s: %w", name, err)
	}
	return pair, writeFile(file, seed)
}

// writeFile puts a secret where no reader sees half of it.
func writeFile(file string, content []byte) error {
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// writeCreds writes the credentials of an account's user, who may do everything in that account.
func (k keys) writeCreds(file, name string, account nkeys.KeyPair) error {
	user, err := k.load(name+"-user", nkeys.CreateUser)
	if err != nil {
		return err
	}
	pub, err := user.PublicKey()
	if err != nil {
		return fmt.Errorf("NATS user %s: %w", name, err)
	}
	claims := jwt.NewUserClaims(pub)
	claims.Name = name
	token, err := claims.Encode(account)
	if err != nil {
		return fmt.Errorf("sign NATS user %s: %w", name, err)
	}
	seed, err := user.Seed()
	if err != nil {
		return fmt.Errorf("NATS user %s: %w", name, err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return fmt.Errorf("format NATS user %s: %w", name, err)
	}
	return writeFile(file, creds)
}

// configure makes the server trust the operator, and know its two accounts.
func (k keys) configure(opts *server.Options) error {
	operator, err := k.operator.PublicKey()
	if err != nil {
		return fmt.Errorf("NATS operator: %w", err)
	}
	resolver := &server.MemAccResolver{}
	if opts.SystemAccount, err = k.declare(resolver, "SYS", k.system, jwt.JetStreamLimits{}); err != nil {
		return err
	}
	if _, err := k.declare(resolver, "ATTUNE", k.app, noLimit); err != nil {
		return err
	}
	claims := jwt.NewOperatorClaims(operator)
	claims.Name, claims.SystemAccount = "attune", opts.SystemAccount
	opts.TrustedOperators = []*jwt.OperatorClaims{claims}
	opts.AccountResolver = resolver
	return nil
}

func (k keys) declare(r server.AccountResolver, name string, account nkeys.KeyPair, limits jwt.JetStreamLimits) (string, error) {
	pub, err := account.PublicKey()
	if err != nil {
		return "", fmt.Errorf("NATS account %s: %w", name, err)
	}
	claims := jwt.NewAccountClaims(pub)
	claims.Name, claims.Limits.JetStreamLimits = name, limits
	token, err := claims.Encode(k.operator)
	if err != nil {
		return "", fmt.Errorf("sign NATS account %s: %w", name, err)
	}
	if err := r.Store(pub, token); err != nil {
		return "", fmt.Errorf("declare NATS account %s: %w", name, err)
	}
	return pub, nil
}
