package natsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/attune/attune/streams"
)

// keys are the server's identities. The account that holds the streams must stay the same, for the server
// stores them under its key; so all are kept. Users are named by tokens. Those of services are signed by a key of
// their role, with which the account knows what they may: so a user need not be made anew when that changes, and a
// token stays short enough for what servers take from one who is not known yet.
type keys struct {
	operator, system, app nkeys.KeyPair
	roles                 map[string]nkeys.KeyPair // by name of the user that has the role
	dir                   string
}

func loadKeys(dir string) (keys, error) {
	k := keys{dir: dir, roles: map[string]nkeys.KeyPair{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, fmt.Errorf("folder of NATS keys: %w", err)
	}
	var errOperator, errSystem, errApp error
	k.operator, errOperator = k.load("operator", nkeys.CreateOperator)
	k.system, errSystem = k.load("system-account", nkeys.CreateAccount)
	k.app, errApp = k.load("attune-account", nkeys.CreateAccount)
	return k, errors.Join(errOperator, errSystem, errApp, k.loadRoles())
}

func (k keys) loadRoles() (err error) {
	for _, name := range streams.Users() {
		if name == streams.UserPeople {
			continue // who may do everything, as the account's own key says
		}
		if k.roles[name], err = k.load("role-"+name, nkeys.CreateAccount); err != nil {
			return err
		}
	}
	return nil
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
	claims, err := claimsOf(user, name)
	if err != nil {
		return err
	}
	creds, err := encode(claims, user, account)
	if err != nil {
		return err
	}
	return writeFile(file, creds)
}

// writeRole writes the credentials of a role's first user, who has its name.
func (k keys) writeRole(file, role string) error {
	user, err := k.load(role+"-user", nkeys.CreateUser)
	if err != nil {
		return err
	}
	claims, err := claimsOf(user, role)
	if err != nil {
		return err
	}
	creds, err := k.sign(claims, user, role)
	if err != nil {
		return err
	}
	return writeFile(file, creds)
}

// sign makes the credentials of a user with a role. People's are those of the account itself.
func (k keys) sign(claims *jwt.UserClaims, user nkeys.KeyPair, role string) (creds []byte, err error) {
	if role == streams.UserPeople {
		return encode(claims, user, k.app)
	}
	claims.SetScoped(true)
	if claims.IssuerAccount, err = k.app.PublicKey(); err != nil {
		return nil, fmt.Errorf("NATS user %s: %w", claims.Name, err)
	}
	return encode(claims, user, k.roles[role])
}

func claimsOf(user nkeys.KeyPair, name string) (*jwt.UserClaims, error) {
	pub, err := user.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("NATS user %s: %w", name, err)
	}
	claims := jwt.NewUserClaims(pub)
	claims.Name = name
	return claims, nil
}

// encode makes what a user connects with.
func encode(claims *jwt.UserClaims, user, by nkeys.KeyPair) ([]byte, error) {
	token, err := claims.Encode(by)
	if err != nil {
		return nil, fmt.Errorf("sign NATS user %s: %w", claims.Name, err)
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, fmt.Errorf("NATS user %s: %w", claims.Name, err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return nil, fmt.Errorf("format NATS user %s: %w", claims.Name, err)
	}
	return creds, nil
}

// writeUsers writes the credentials of every user of the installation's account.
func (k keys) writeUsers(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of NATS users: %w", err)
	}
	errs := []error{k.writeCreds(filepath.Join(dir, streams.UserPeople+credsEnding), streams.UserPeople, k.app)}
	for name := range k.roles {
		errs = append(errs, k.writeRole(filepath.Join(dir, name+credsEnding), name))
	}
	return errors.Join(errs...)
}

// addRoles tells an account what its roles may.
func (k keys) addRoles(account *jwt.AccountClaims) error {
	for name, key := range k.roles {
		pub, err := key.PublicKey()
		if err != nil {
			return fmt.Errorf("NATS role %s: %w", name, err)
		}
		may, err := streams.PermissionsOf(name)
		if err != nil {
			return err
		}
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = pub, name
		limit(&scope.Template, may)
		account.SigningKeys.AddScopedSigner(scope)
	}
	return nil
}

// answerWithin is how long a service may take to answer a request.
const answerWithin = time.Minute

// limit lets a user do what it may and nothing else.
func limit(to *jwt.UserPermissionLimits, may streams.Permissions) {
	to.Pub.Allow = append(jwt.StringList{}, may.Publish...)
	to.Sub.Allow = append(jwt.StringList{}, may.Subscribe...)
	if may.Responds {
		to.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: answerWithin}
	}
	// Not by websocket, MQTT or as a leaf of another server, should a listener for such ever be there.
	to.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeInProcess}
}

// configure makes the server trust the operator, and know its two accounts.
func (k keys) configure(opts *server.Options) error {
	operator, err := k.operator.PublicKey()
	if err != nil {
		return fmt.Errorf("NATS operator: %w", err)
	}
	resolver := &server.MemAccResolver{}
	if opts.SystemAccount, err = k.declare(resolver, "SYS", k.system, nil); err != nil {
		return err
	}
	if _, err := k.declare(resolver, appName, k.app, k.describe); err != nil {
		return err
	}
	claims := jwt.NewOperatorClaims(operator)
	claims.Name, claims.SystemAccount = "attune", opts.SystemAccount
	opts.TrustedOperators = []*jwt.OperatorClaims{claims}
	opts.AccountResolver = resolver
	return nil
}

// describe says what there is in the account that Attune's streams are in.
func (k keys) describe(account *jwt.AccountClaims) error {
	account.Limits.JetStreamLimits = noLimit
	return errors.Join(k.addRoles(account), k.addRevocations(account))
}

func (k keys) declare(r server.AccountResolver, name string, account nkeys.KeyPair, describe func(*jwt.AccountClaims) error) (string, error) {
	claims, err := claim(name, account, describe)
	if err != nil {
		return "", err
	}
	token, err := claims.Encode(k.operator)
	if err != nil {
		return "", fmt.Errorf("sign NATS account %s: %w", name, err)
	}
	if err := r.Store(claims.Subject, token); err != nil {
		return "", fmt.Errorf("declare NATS account %s: %w", name, err)
	}
	return claims.Subject, nil
}

func claim(name string, account nkeys.KeyPair, describe func(*jwt.AccountClaims) error) (*jwt.AccountClaims, error) {
	pub, err := account.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("NATS account %s: %w", name, err)
	}
	claims := jwt.NewAccountClaims(pub)
	claims.Name = name
	if describe != nil {
		err = describe(claims)
	}
	return claims, err
}

// appName is what the account of Attune's streams is called.
const appName = "ATTUNE"
