package secret_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/secret"
)

// With the address of a Vault server that may be spoiled, and a file with its root token, the exchanges with it are
// recorded anew, and the tests of a whole store use it too.
const (
	vaultAddress   = "ATTUNE_TEST_VAULT"
	vaultTokenFile = "ATTUNE_TEST_VAULT_TOKEN_FILE"
)

// testToken stands in recordings for the token that was used.
const testToken = "test-token"

// exchange is a request and what a real server answered.
type exchange struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Token  string          `json:"token"`
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer"`
}

// cassette is a server that answers as a real one did, to the very same requests in the same order. When there is a
// real one, it hands the requests on and remembers.
type cassette struct {
	t       *testing.T
	file    string
	real    string // its address; "" to play
	token   string // of the real one
	address string

	mu   sync.Mutex // guards the fields below
	all  []exchange
	next int
}

func newCassette(t *testing.T, name string) *cassette {
	t.Helper()
	c := &cassette{t: t, file: filepath.Join("testdata", name), real: os.Getenv(vaultAddress)}
	if c.real != "" {
		c.token = readFile(t, os.Getenv(vaultTokenFile))
	} else if err := json.Unmarshal([]byte(readFile(t, c.file)), &c.all); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	c.address = server.URL
	t.Cleanup(func() { server.Close(); c.end() })
	return c
}

func readFile(t testing.TB, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// end keeps what was recorded, or finds that everything was played.
func (c *cassette) end() {
	if c.real == "" {
		if c.next != len(c.all) {
			c.t.Errorf("%d of %d recorded requests were made", c.next, len(c.all))
		}
		return
	}
	data, err := json.MarshalIndent(c.all, "", "  ")
	if err == nil {
		err = os.WriteFile(c.file, append(data, '\n'), 0o600)
	}
	if err != nil {
		c.t.Error(err)
	}
}

func (c *cassette) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("X-Vault-Request") != "true" || len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s: headers %v, %v", r.Method, r.URL, r.Header, err)
	}
	asked := exchange{Method: r.Method, Path: r.URL.RequestURI(), Token: r.Header.Get("X-Vault-Token"), Body: body}
	if c.real != "" {
		c.all = append(c.all, c.ask(asked))
	}
	if c.next == len(c.all) {
		c.t.Errorf("one request too many: %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	e := c.all[c.next]
	c.next++
	if asked.Method != e.Method || asked.Path != e.Path || asked.Token != e.Token || !bytes.Equal(asked.Body, compact(c.t, e.Body)) {
		c.t.Errorf("request %d is %s %s %s with token %q, recorded was %s %s %s with %q", c.next, asked.Method, asked.Path, asked.Body, asked.Token, e.Method, e.Path, e.Body, e.Token)
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Answer) // the client may be gone
}

func compact(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Error(err)
	}
	return b.Bytes()
}

// ask asks the real server.
func (c *cassette) ask(e exchange) exchange {
	token := e.Token
	if token == testToken {
		token = c.token
	}
	e.Status, e.Answer = askVault(c.t, e.Method, c.real+e.Path, token, e.Body)
	return e
}

// setUp asks the real server for what is no part of the recording.
func (c *cassette) setUp(method, path, body string) {
	c.t.Helper()
	if c.real == "" {
		return
	}
	if status, answer := askVault(c.t, method, c.real+"/v1/"+path, c.token, []byte(body)); status >= http.StatusBadRequest {
		c.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

func askVault(t *testing.T, method, address, token string, body []byte) (int, json.RawMessage) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, bytes.TrimSpace(answer)
}

// tokenFile makes a file with a token that only we may read.
func tokenFile(t testing.TB, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newVault(t testing.TB, c secret.VaultConfig) secret.Source {
	t.Helper()
	v, err := secret.Vault(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
