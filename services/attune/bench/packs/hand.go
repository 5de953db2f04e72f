package packs

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The library that packs need: one pure module.
const (
	libraryFile = "benchlib-1.0-py3-none-any.whl"
	libraryInfo = "benchlib-1.0.dist-info/"
)

// wheel makes the library's file.
func wheel() ([]byte, error) {
	files := []struct{ name, text string }{
		{"benchlib.py", "version = '1.0'\n"},
		{libraryInfo + "METADATA", "Metadata-Version: 2.1\nName: benchlib\nVersion: 1.0\n"},
		{libraryInfo + "WHEEL", "Wheel-Version: 1.0\nGenerator: attune\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
	var record strings.Builder
	record.WriteString(libraryInfo + "RECORD,,\n")
	for _, f := range files {
		sum := sha256.Sum256([]byte(f.text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.text))
	}
	files = append(files, struct{ name, text string }{libraryInfo + "RECORD", record.String()})
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err == nil {
			_, err = w.Write([]byte(f.text))
		}
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return out.Bytes(), err
}

// serveIndex serves the library as an index of Python packages on loopback, until it is stopped.
func serveIndex(ctx context.Context) (url string, stop func(), err error) {
	data, err := wheel()
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/benchlib/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><a href="/%s">%s</a>`, libraryFile, libraryFile)
	})
	mux.HandleFunc("/"+libraryFile, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, libraryFile, time.Time{}, bytes.NewReader(data))
	})
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // it returns when it is closed
	return "http://" + l.Addr().String() + "/simple", func() { _ = server.Close(); <-done }, nil
}

// byHand does what a person would.
func (b *Bench) byHand(ctx context.Context, dir string) error {
	for _, args := range [][]string{
		{b.python, "-m", "venv", dir},
		{filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--isolated", "--no-cache-dir", "--disable-pip-version-check", "--index-url", b.index, "benchlib==1.0"},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // its own words
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	return nil
}
