package cli_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"

	"github.com/attune/attune/services/attune/attunetest"
)

// visit gets a page as a browser does that follows no redirect, and gives where it is sent and the cookie that it got.
func visit(t *testing.T, address, cookie string) (to *url.URL, got string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer browser.CloseIdleConnections()
	resp, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		got = c.Name + "=" + c.Value
	}
	to, _ = resp.Location() // nil where the way ends
	return to, got
}

func TestLoginKeepsTheSessionOfWhoeverSignedIn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts an installation")
	}
	issuer, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Shutdown() })
	issuer.QueueUser(&mockoidc.MockUser{Subject: "s-1", PreferredUsername: "ann", Groups: []string{"ops"}})
	in := attunetest.Start(t, attunetest.Options{Env: []string{
		"ATTUNE_OIDC_ISSUER=" + issuer.Issuer(), "ATTUNE_OIDC_CLIENT_ID=" + issuer.ClientID, "ATTUNE_OIDC_CLIENT_SECRET=" + issuer.ClientSecret,
		"ATTUNE_OIDC_PUBLIC_URL=http://attune.example", "ATTUNE_OIDC_ROLES=ops=viewer",
	}})
	config := t.TempDir()
	env := append(attunetest.Environment(), "XDG_CONFIG_HOME="+config, "ATTUNE_DATA_DIR="+filepath.Join(config, "none"), "ATTUNE_API_URL="+in.APIURL)
	login, err := attunetest.Launch(attunetest.Command(env, "login"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		login.Signal(syscall.SIGKILL)
		<-login.Ended()
	})
	begin := login.AwaitLine(t, `(http://\S+/session/oidc/start\S+)`)
	to, attempt := visit(t, begin, "")
	back, _ := visit(t, to.String(), "")
	if back.Host != "attune.example" {
		t.Fatalf("sent back to %s", back)
	}
	here, err := url.Parse(in.APIURL)
	if err != nil {
		t.Fatal(err)
	}
	back.Host = here.Host // as a name server would say
	code, _ := visit(t, back.String(), attempt)
	visit(t, code.String(), "")
	login.AwaitLine(t, `(signed in as user:ann, until )`)
	select {
	case <-login.Ended():
	case <-time.After(time.Minute):
		t.Fatal("attune login did not end")
	}
	if out := attunetest.RunWith(t, env, "whoami"); out.Code != 0 || !strings.Contains(out.Stdout, "user:ann") {
		t.Errorf("whoami: %+v", out)
	}
	kept := filepath.Join(config, "attune", "login.json")
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", kept, info, err)
	}
	if out := attunetest.RunWith(t, append(env, "ATTUNE_API_URL=http://127.0.0.1:1"), "whoami"); out.Code == 0 {
		t.Error("another API was given the session")
	}
}
