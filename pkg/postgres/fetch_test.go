package postgres

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// binaries is an archive as the repository has them, with scripts that say the version 17.5.
//
//go:embed testdata/binaries.txz
var binaries []byte

// repository serves the archive like Maven Central does, with the sum given.
func repository(t *testing.T, sum func([]byte) string) string {
	t.Helper()
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("postgres-linux.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(binaries); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(sum(jar.Bytes()))) // the client reports what it lacks
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func sha256Of(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func fetchConfig(t *testing.T, repository string) Config {
	t.Helper()
	return Config{Logger: slog.New(slog.DiscardHandler), Repository: repository, Cache: t.TempDir()}
}

func TestBinariesAreObtainedOnceWhereNoneAreInstalled(t *testing.T) {
	t.Parallel()
	cfg := fetchConfig(t, repository(t, sha256Of))
	for _, url := range []string{cfg.Repository, "http://127.0.0.1:1"} {
		cfg.Repository = url // the second time nothing is asked of it
		b, err := fetch(t.Context(), cfg, owner{self: true}, 0)
		if err != nil || b.Major != 17 {
			t.Fatalf("from %s: %+v, %v", url, b, err)
		}
	}
}

func TestBinariesWithAWrongSumAreRefused(t *testing.T) {
	t.Parallel()
	cfg := fetchConfig(t, repository(t, func([]byte) string { return sha256Of(nil) }))
	if _, err := fetch(t.Context(), cfg, owner{self: true}, 0); err == nil || !strings.Contains(err.Error(), "checksums do not match") {
		t.Fatalf("got %v", err)
	}
	if left, err := os.ReadDir(cfg.Cache); err != nil || len(left) != 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}
