package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
)

// loginPatience is how long a person may take to sign in.
const loginPatience = 5 * time.Minute

func loginCommand(a *app) *cobra.Command {
	return command("login", "Sign in with a browser, by the OpenID Connect service of the installation",
		"attune login --api-url https://attune.example", cobra.NoArgs,
		func(c *cobra.Command, args []string) error {
			return a.offline(func(ctx context.Context, s *session, _ []string) error { return a.login(ctx, s) })(c, args)
		})
}

func (a *app) login(ctx context.Context, s *session) error {
	t, err := a.locate()
	if err != nil {
		return err
	}
	t.token = ""
	api, err := a.client(t, s.errw)
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	verifier := oauth2.GenerateVerifier()
	code, err := awaitCode(ctx, s, t.url, oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		return err
	}
	opened, err := api.ExchangeCode(ctx, code, verifier)
	if err != nil {
		return err
	}
	if err := keepLogin(t.url, login{Session: opened.Text, ExpiresAt: opened.ExpiresAt}); err != nil {
		return err
	}
	return s.said(map[string]any{"principal": opened.Principal, "expires_at": opened.ExpiresAt}, "signed in as %s, until %s",
		opened.Principal, opened.ExpiresAt.Local().Format(time.DateTime))
}

// errNoCode is returned when nobody signed in.
var errNoCode = errors.New("nobody signed in")

// awaitCode listens on this machine until the browser brings the code.
func awaitCode(ctx context.Context, s *session, api, challenge string) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("wait for the browser: %w", err)
	}
	codes := make(chan string, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := r.URL.Query().Get("code")
		if r.Method != http.MethodGet || r.URL.Path != "/" || code == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "You are signed in. This window may be closed.")
		select {
		case codes <- code:
		default: // the first one counts
		}
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Shutdown
	}()
	defer func() {
		_ = server.Shutdown(context.WithoutCancel(ctx))
		<-served
	}()
	q := url.Values{"port": {strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)}, "challenge": {challenge}}
	fmt.Fprintf(s.errw, "open this in a browser on this machine, and sign in:\n%s\n", api+"/api/v1/session/oidc/start?"+q.Encode())
	select {
	case code := <-codes:
		return code, nil
	case <-ctx.Done():
		return "", errNoCode
	}
}

// login is a session that attune login opened.
type login struct {
	Session   string    `json:"session"`
	ExpiresAt time.Time `json:"expires_at"`
}

// loginFile is where sessions are kept, by the address of the API: only the user can read it.
func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("keep the session: %w", err)
	}
	return filepath.Join(dir, "attune", "login.json"), nil
}

func readLogins() (map[string]login, error) {
	all := map[string]login{}
	path, err := loginFile()
	if err != nil {
		return all, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return map[string]login{}, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}

// keepLogin keeps a session, and forgets those that have ended.
func keepLogin(api string, l login) error {
	all, err := readLogins()
	if err != nil {
		return err
	}
	for at, old := range all {
		if time.Now().After(old.ExpiresAt) {
			delete(all, at)
		}
	}
	all[api] = l
	path, err := loginFile()
	if err != nil {
		return err
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	return nil
}

// signedIn gives the session for an API, or "".
func signedIn(api string) string {
	all, err := readLogins()
	if l, ok := all[api]; err == nil && ok && time.Now().Before(l.ExpiresAt) {
		return l.Session
	}
	return ""
}
