package secret

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/attune/attune/pkg/authority"
	"github.com/attune/attune/pkg/credential"
)

const (
	vaultTimeout = 5 * time.Second // of one request
	maxVaultBody = 1 << 20
)

var (
	// ErrVault is returned when Vault does not do what it is asked to, for now or because it does not allow it.
	ErrVault = errors.New("vault")
	// ErrVaultConfig is returned by Vault when it can not be reached like that in safety.
	ErrVaultConfig = errors.New("configuration of vault is not usable")
)

// VaultConfig says how the Transit engine of a HashiCorp Vault or OpenBao server is reached.
type VaultConfig struct {
	Address   string // https://HOST:PORT; http only on this machine
	TokenFile string // read for every request, so that an agent may replace it
	Mount     string // of the engine
	Key       string // in the engine
	Namespace string // "" is none
	CAFile    string // who signed the server's certificate; "" is whom this machine trusts
}

// vault speaks to the server. It asks nobody else, whatever happens: it follows no redirects, which would take the
// token along, and has no other way to seal or open anything.
type vault struct {
	config VaultConfig
	http   *http.Client
}

func newVault(c VaultConfig) (*vault, error) {
	u, err := url.Parse(c.Address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && (u.Scheme != "http" || !authority.Local(u.Hostname())) {
		return nil, fmt.Errorf("%w: address: want https://HOST:PORT; http is for this machine only", ErrVaultConfig)
	}
	if c.TokenFile == "" {
		return nil, fmt.Errorf("%w: a file with a token is needed", ErrVaultConfig)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: openers, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	if c.CAFile != "" {
		if t.TLSClientConfig.RootCAs, err = authority.Pool(c.CAFile); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrVaultConfig, err)
		}
	}
	return &vault{config: c, http: &http.Client{
		Transport: t, Timeout: vaultTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// call makes a request of the engine; in and out are JSON. Errors show what the server says, which are no values.
func (v *vault) call(ctx context.Context, method, path string, in, out any) error {
	req, err := v.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVault, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxVaultBody))
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", ErrVault, method, path, err)
	}
	defer clear(body)
	if resp.StatusCode != http.StatusOK {
		return refusal(method+" "+path, resp.StatusCode, body)
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%w: %s %s: the answer is not JSON", ErrVault, method, path)
	}
	defer clear(answer.Data)
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return fmt.Errorf("%w: %s %s: the answer is not understood", ErrVault, method, path) // without the cause, which may quote a key
	}
	return nil
}

func (v *vault) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	token, err := v.token()
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%w: encode request", ErrVault)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(v.config.Address, "/")+"/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVaultConfig, err)
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	if v.config.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", v.config.Namespace)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// token reads the token, from a file that only its owner may read.
func (v *vault) token() (string, error) {
	content, err := credential.Read(v.config.TokenFile, credential.Handed)
	if err != nil {
		return "", fmt.Errorf("token for vault: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s does not hold a token: %w", v.config.TokenFile, ErrKeyFile)
	}
	return token, nil
}

// refused is what the server says when it does not do what it is asked to.
type refused struct {
	what   string
	status int
	says   []string
}

func (r *refused) Error() string {
	text := fmt.Sprintf("vault: %s: %d %s", r.what, r.status, http.StatusText(r.status))
	if len(r.says) > 0 {
		text += ": " + strings.Join(r.says, "; ")
	}
	return text
}

func (r *refused) Unwrap() error { return ErrVault }

func refusal(what string, status int, body []byte) error {
	var said struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &said) // a proxy may answer with anything
	for i, s := range said.Errors {
		said.Errors[i] = fmt.Sprintf("%.300s", strings.Join(strings.Fields(s), " "))
	}
	return &refused{what: what, status: status, says: said.Errors}
}
