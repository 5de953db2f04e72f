package attunetest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/certtest"
	"github.com/attune/attune/services/attune/attunetest"
)

// With certificates of one's own both the API and NATS are encrypted, and the commands on the same machine still need
// nothing to find them.
func TestUpWithCertificatesSpeaksTLSOnly(t *testing.T) {
	t.Parallel()
	a := certtest.New(t)
	httpCert, httpKey := a.Server(t, "attune.example")
	natsCert, natsKey := a.Server(t, "127.0.0.1")
	in := attunetest.Start(t, attunetest.Options{Env: []string{
		"ATTUNE_HTTP_CERT=" + httpCert, "ATTUNE_HTTP_KEY=" + httpKey, "ATTUNE_NATS_CERT=" + natsCert, "ATTUNE_NATS_KEY=" + natsKey, "ATTUNE_NATS_CA=" + a.CA,
	}})
	if !strings.HasPrefix(in.APIURL, "https://") {
		t.Errorf("the API is at %s", in.APIURL)
	}
	if out := in.Run("run", "core.echo", "message=hi", "--follow"); out.Code != 0 || out.Stdout != "hi\n" {
		t.Errorf("%+v", out)
	}
	// From elsewhere: by its name, with the authority's certificate.
	elsewhere := []string{"ATTUNE_API_URL=" + in.APIURL, "ATTUNE_TOKEN=" + in.Token}
	if out := attunetest.RunWith(t, elsewhere, "runner", "list"); out.Code == 0 || !strings.Contains(out.Stderr, "certificate") {
		t.Errorf("without the authority: %+v", out)
	}
	if out := attunetest.RunWith(t, append(elsewhere, "ATTUNE_API_CA="+a.CA), "runner", "list"); out.Code == 0 || !strings.Contains(out.Stderr, "certificate") {
		t.Errorf("by another name than the certificate's: %+v", out)
	}
	plain := append([]string{"ATTUNE_API_URL=http" + strings.TrimPrefix(in.APIURL, "https")}, elsewhere[1])
	if out := attunetest.RunWith(t, plain, "runner", "list"); out.Code == 0 {
		t.Errorf("in the clear: %+v", out)
	}
	// A certificate that is renewed is shown without a restart.
	again, _ := a.Server(t, "127.0.0.1")
	replace(t, again, httpCert)
	replace(t, strings.TrimSuffix(again, ".pem")+".key", httpKey)
	if out := attunetest.RunWith(t, append(elsewhere, "ATTUNE_API_CA="+a.CA), "runner", "list"); out.Code != 0 {
		t.Errorf("with the renewed certificate: %+v", out)
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
