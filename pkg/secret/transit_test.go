package secret_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

// What is played here was recorded from a HashiCorp Vault 1.21.4 server: see newCassette.
func TestDataKeysAreWrappedByTransit(t *testing.T) {
	t.Parallel()
	c := newCassette(t, "vault.json")
	c.setUp("POST", "sys/mounts/seals", `{"type":"transit"}`)
	of := func(key, token string) secret.Source {
		return newVault(t, secret.VaultConfig{Address: c.address, TokenFile: tokenFile(t, token), Mount: "seals", Key: key})
	}
	load := func(s secret.Source, want ...string) []secret.Wrapper {
		t.Helper()
		keys, err := s.Load(t.Context())
		if err != nil || len(keys) != len(want) {
			t.Fatalf("load: %v, %v", keys, err)
		}
		for i, k := range keys {
			if k.ID() != want[i] {
				t.Errorf("key %d is %s, want %s", i, k.ID(), want[i])
			}
		}
		return keys
	}
	dataKey, with := bytes.Repeat([]byte{7}, 32), []byte("attune\x00this very place")
	refuses := func(k secret.Wrapper, wrapped, with []byte, want error) {
		t.Helper()
		got, err := k.Unwrap(t.Context(), wrapped, with)
		if got != nil || !errors.Is(err, want) || errors.Is(err, secret.ErrSealed) != (want == secret.ErrSealed) { //nolint:errorlint // which of the two
			t.Errorf("unwrap: %x, %v; want %v", got, err, want)
		}
	}
	opens := func(k secret.Wrapper, wrapped []byte) {
		t.Helper()
		if got, err := k.Unwrap(t.Context(), wrapped, with); err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("unwrap: %x, %v", got, err)
		}
	}
	wrap := func(k secret.Wrapper) []byte {
		t.Helper()
		wrapped, err := k.Wrap(t.Context(), dataKey, with)
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	good := of("attune", testToken)
	if _, err := good.Load(t.Context()); !errors.Is(err, secret.ErrKeyMissing) || !strings.Contains(err.Error(), "vault write -f seals/keys/attune") {
		t.Errorf("load without a key: %v", err)
	}
	c.setUp("POST", "seals/keys/attune", `{"type":"aes256-gcm96"}`)
	first := load(good, "vault:seals/attune:v1")[0]
	wrapped := wrap(first)
	opens(first, wrapped)
	refuses(first, wrapped, []byte("another place"), secret.ErrSealed)
	changed := bytes.Clone(wrapped)
	changed[20] ^= 1
	refuses(first, changed, with, secret.ErrSealed)
	refuses(first, []byte("vault:v1:not base64"), with, secret.ErrSealed)
	refuses(first, []byte("vault:v2:"), with, secret.ErrSealed) // without asking

	c.setUp("POST", "seals/keys/attune/rotate", "")
	keys := load(good, "vault:seals/attune:v2", "vault:seals/attune:v1")
	second := wrap(keys[0])
	older := wrap(keys[1])
	opens(keys[0], second)
	opens(keys[1], older)
	opens(keys[1], wrapped)
	refuses(keys[1], second, with, secret.ErrSealed)
	c.setUp("POST", "seals/keys/attune/config", `{"min_decryption_version":2}`)
	load(good, "vault:seals/attune:v2")
	refuses(keys[1], wrapped, with, secret.ErrSealed)

	if _, err := of("attune", "another-token").Load(t.Context()); !errors.Is(err, secret.ErrVault) || strings.Contains(err.Error(), "another-token") {
		t.Errorf("load with a wrong token: %v", err)
	}
	c.setUp("POST", "seals/keys/signs", `{"type":"ed25519"}`)
	c.setUp("POST", "seals/keys/derives", `{"derived":true}`)
	for _, key := range []string{"signs", "derives"} {
		if _, err := of(key, testToken).Load(t.Context()); !errors.Is(err, secret.ErrVaultConfig) {
			t.Errorf("load of a key that %s: %v", key, err)
		}
	}
	c.setUp("PUT", "sys/seal", "")
	refuses(keys[0], second, with, secret.ErrVault)
	if _, err := keys[0].Wrap(t.Context(), dataKey, with); !errors.Is(err, secret.ErrVault) {
		t.Errorf("wrap with a server that is sealed: %v", err)
	}
}

// transitServer is a Vault server to spoil: the real one that the environment names, or one of the test's own.
func transitServer(t *testing.T) (config secret.VaultConfig, rotate func()) {
	t.Helper()
	mount := "m" + strings.ToLower(strings.ReplaceAll(filepath.Base(t.TempDir()), "/", "")) + strings.ToLower(t.Name()[4:20])
	if address := os.Getenv(vaultAddress); address != "" {
		token := readFile(t, os.Getenv(vaultTokenFile))
		post := func(path, body string) {
			t.Helper()
			if status, answer := askVault(t, "POST", address+"/v1/"+path, token, []byte(body)); status >= http.StatusBadRequest {
				t.Fatalf("%s: %d %s", path, status, answer)
			}
		}
		post("sys/mounts/"+mount, `{"type":"transit"}`)
		post(mount+"/keys/k", "")
		return secret.VaultConfig{Address: address, TokenFile: tokenFile(t, token), Mount: mount, Key: "k"}, func() { post(mount+"/keys/k/rotate", "") }
	}
	like := newLikeVault(testToken)
	server := httptest.NewServer(like)
	t.Cleanup(server.Close)
	return secret.VaultConfig{Address: server.URL, TokenFile: tokenFile(t, testToken), Mount: mount, Key: "k"}, like.rotate
}

// away has a server between the store and Vault that can be switched off.
func away(t *testing.T, c *secret.VaultConfig) (set func(bool)) {
	t.Helper()
	gone := make(chan bool, 1)
	gone <- false
	target := c.Address
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := <-gone
		gone <- now
		if now {
			panic(http.ErrAbortHandler)
		}
		req := r.Clone(r.Context())
		req.RequestURI, req.URL.Scheme, req.URL.Host = "", "http", strings.TrimPrefix(target, "http://")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		_, _ = w.Write(b.Bytes())
	}))
	t.Cleanup(server.Close)
	c.Address = server.URL
	return func(now bool) { <-gone; gone <- now }
}

func TestAStoreGoesOverFromAFileToVaultAndOn(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), secret.KeyFile(keyFile(t))
	all := fill(t, open(t, pool, file.String()), 8)
	config, rotate := transitServer(t)
	execute(t, pool, "DELETE FROM secret_holders") // the one before has stopped
	s := start(t, pool, newVault(t, config), file)
	readable(t, s, all)
	rekey(t, s, "")
	st := awaitStates(t, s, "current 12, retired 0")
	if id := st.Keys[0].ID; !strings.HasPrefix(id, "vault:") || !strings.HasSuffix(id, ":v1") {
		t.Errorf("current key %s", id)
	}
	readable(t, s, all)
	if err := s.Rekey(t.Context(), ""); !errors.Is(err, secret.ErrNoNewKey) || !strings.Contains(err.Error(), "/rotate") {
		t.Errorf("go on without a new version: %v", err)
	}
	rotate()
	rekey(t, s, "")
	if st = awaitStates(t, s, "current 12, retired 0, retired 0"); !strings.HasSuffix(st.Keys[0].ID, ":v2") {
		t.Errorf("current key %s", st.Keys[0].ID)
	}
	readable(t, s, all)
	readable(t, start(t, pool, newVault(t, config)), all) // the file is not needed any more
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: []secret.Source{file}}); !errors.Is(err, secret.ErrKeyWrong) {
		t.Errorf("open without vault: %v", err)
	}
}

func TestWithoutVaultNothingTakesItsPlace(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	config, _ := transitServer(t)
	set := away(t, &config)
	sources := []secret.Source{newVault(t, config), secret.KeyFile(file)}
	set(true)
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: sources}); !errors.Is(err, secret.ErrVault) {
		t.Errorf("first start without vault: %v", err)
	}
	set(false)
	s := start(t, pool, sources...)
	all := fill(t, s, 4)
	set(true)
	for ref := range all {
		if v, err := s.Get(t.Context(), ref.Owner, ref.Name); v != nil || !errors.Is(err, secret.ErrVault) {
			t.Errorf("read without vault: %q, %v", v, err)
		}
	}
	if _, err := s.Put(t.Context(), secret.Global, "NEW", []byte(canary), 0); !errors.Is(err, secret.ErrVault) {
		t.Errorf("set without vault: %v", err)
	}
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: sources}); !errors.Is(err, secret.ErrVault) {
		t.Errorf("start without vault: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
	set(false)
	readable(t, s, all)
}

func TestVaultIsReachedInSafetyOrNotAtAll(t *testing.T) {
	t.Parallel()
	good := secret.VaultConfig{Address: "https://vault:8200", TokenFile: "/token", Mount: "transit", Key: "attune"}
	for name, change := range map[string]func(*secret.VaultConfig){
		"no TLS":             func(c *secret.VaultConfig) { c.Address = "http://vault:8200" },
		"a name like local":  func(c *secret.VaultConfig) { c.Address = "http://localhost.example:8200" },
		"no scheme":          func(c *secret.VaultConfig) { c.Address = "vault:8200" },
		"a password":         func(c *secret.VaultConfig) { c.Address = "https://u:hidden@vault:8200" },
		"no token":           func(c *secret.VaultConfig) { c.TokenFile = "" },
		"a way out of mount": func(c *secret.VaultConfig) { c.Mount = "transit/../sys" },
		"a question":         func(c *secret.VaultConfig) { c.Key = "attune?x" },
		"no key":             func(c *secret.VaultConfig) { c.Key = "" },
		"no such CA":         func(c *secret.VaultConfig) { c.CAFile = "/nowhere" },
	} {
		c := good
		change(&c)
		if _, err := secret.Vault(c); !errors.Is(err, secret.ErrVaultConfig) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := secret.Vault(good); err != nil {
		t.Error(err)
	}
}

func TestVaultProvesWhoItIs(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(newLikeVault(testToken))
	server.Config.ErrorLog = discard
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := secret.VaultConfig{Address: server.URL, TokenFile: tokenFile(t, testToken), Mount: "transit", Key: "k"}
	if _, err := newVault(t, c).Load(t.Context()); !errors.Is(err, secret.ErrVault) {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	c.CAFile = ca
	if keys, err := newVault(t, c).Load(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("a certificate that is known: %v, %v", keys, err)
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("X-Vault-Token") }))
	t.Cleanup(thief.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	file := tokenFile(t, testToken)
	s := newVault(t, secret.VaultConfig{Address: server.URL, TokenFile: file, Mount: "transit", Key: "k"})
	if _, err := s.Load(t.Context()); !errors.Is(err, secret.ErrVault) || len(asked) > 0 {
		t.Errorf("redirected: %v, %d others were asked", err, len(asked))
	}
	if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, secret.ErrKeyFile) || strings.Contains(err.Error(), testToken) {
		t.Errorf("a token that others may read: %v", err)
	}
}
