package packindex

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(t testing.TB) PrivateKey {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func added(name, version, content string) Added {
	return Added{
		Pack: pack.Pack{Name: name, Version: version, Description: "a <b> & c"}, Archive: []byte(content),
		Digest: strings.Repeat("0", 63) + content[:1], Created: time.Unix(1e9, 5),
	}
}

// tree reads a folder's files.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = string(data)
	}
	return out
}

func build(t testing.TB, dir string, k PrivateKey, packs ...Added) Built {
	t.Helper()
	b, err := Build(dir, packs, &k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheSamePacksMakeTheSameIndex(t *testing.T) {
	t.Parallel()
	k, one, two := key(t), filepath.Join(t.TempDir(), "a", "b"), t.TempDir()
	build(t, one, k, added("web", "1.0.0", "1"), added("web", "1.10.0", "2"), added("app", "1.0.0", "3"))
	first := tree(t, one)
	build(t, two, k, added("app", "1.0.0", "3"), added("web", "1.10.0", "2"), added("web", "1.0.0", "1"))
	if again := build(t, one, k, added("web", "1.0.0", "1")); again.Changed || again.Generation != 1 {
		t.Errorf("%+v", again)
	}
	for name, content := range first {
		if tree(t, one)[name] != content || tree(t, two)[name] != content {
			t.Errorf("%s differs", name)
		}
	}
	if len(first) != 5 || !strings.Contains(first[FileName], `"a <b> & c"`) || !strings.Contains(first[FileName], `"2001-09-09T01:46:40Z"`) {
		t.Error(first)
	}
}

func TestAnIndexGrowsAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	k, dir := key(t), t.TempDir()
	build(t, dir, k, added("web", "1.0.0", "1"))
	b := build(t, dir, k, added("web", "1.1.0", "2"))
	if b.Generation != 2 || len(b.Packs) != 2 || len(b.New) != 1 || b.Packs[0].Version != "1.1.0" {
		t.Errorf("%+v", b)
	}
	if newest := b.Newest(); len(newest) != 1 || newest[0].Version != "1.1.0" {
		t.Error(newest)
	}
	if _, err := Build(dir, []Added{added("web", "1.0.0", "9")}, &k); err == nil || !strings.Contains(err.Error(), "raise the version") {
		t.Error(err)
	}
	if _, err := Build(dir, nil, nil); err != nil || tree(t, dir)[SignatureName] != "" {
		t.Error("unsigned, and yet with a signature", err)
	}
}

func TestOnlyASignatureOfATrustedKeyOpensAnIndex(t *testing.T) {
	t.Parallel()
	k, other, dir := key(t), key(t), t.TempDir()
	build(t, dir, k, added("web", "1.0.0", "1"))
	files := tree(t, dir)
	list, sig := []byte(files[FileName]), []byte(files[SignatureName])
	if x, err := Open(list, sig, []PublicKey{other.Public(), k.Public()}); err != nil || len(x.Packs) != 1 {
		t.Fatal(x, err)
	}
	changed := bytes.Replace(list, []byte("1.0.0"), []byte("1.0.1"), 1)
	cases := map[string]struct {
		list, sig []byte
		want      string
	}{
		"unsigned":     {list, nil, "no signature"},
		"no signature": {list, []byte("x"), "not a signature"},
		"no key":       {list, []byte("{}"), "names no key"},
		"changed":      {changed, sig, "changed after it was signed"},
	}
	for name, c := range cases {
		if _, err := Open(c.list, c.sig, []PublicKey{k.Public()}); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Open(list, sig, []PublicKey{other.Public()})
	if untrusted, ok := errors.AsType[*UntrustedError](err); !ok || untrusted.Key != k.Public().String() {
		t.Error(err)
	}
}

func TestAnIndexCannotNameWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	k, dir := key(t), t.TempDir()
	build(t, dir, k, added("web", "1.0.0", "1"))
	list := tree(t, dir)[FileName]
	for from, to := range map[string]string{
		`"file": "web-1.0.0.tar.zst"`: `"file": "../web.tar"`,
		`"file": "web-1.0.0`:          `"file": "/etc/web`,
		`"file": "web-1`:              `"file": "-1`,
		`"name": "web"`:               `"name": "Web"`,
		`"version": "1.0.0"`:          `"version": "1.0"`,
		`"size": 1`:                   `"size": 0`,
		`"digest": "0`:                `"digest": "z`,
		`"format": 1`:                 `"format": 2`,
		`"packs": [`:                  `"packs": 1, "packs": [`,
	} {
		changed := []byte(strings.Replace(list, from, to, 1))
		sig, err := k.Sign(changed)
		if err != nil || string(changed) == list {
			t.Fatal(err, from)
		}
		if _, err := Open(changed, sig, []PublicKey{k.Public()}); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	x := Index{}
	for _, v := range []string{"1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "1.3.0+b1"} {
		x.Packs = append(x.Packs, Entry{Name: "web", Version: v})
	}
	for wanted, want := range map[string]string{
		"": "1.10.0", "1.2.0": "1.2.0", "^1.0": "1.10.0", "<1.3": "1.2.0", ">=2.0.0-0": "2.0.0-rc.1", "2.0.0-rc.1": "2.0.0-rc.1", "1.3.0+b1": "1.3.0+b1",
	} {
		if e, err := x.Find("web", wanted); err != nil || e.Version != want {
			t.Errorf("%q: %s %v, want %s", wanted, e.Version, err, want)
		}
	}
	if _, err := x.Find("web", "3"); !errors.Is(err, ErrNotInIndex) || !strings.Contains(err.Error(), "1.10.0") {
		t.Error(err)
	}
	if _, err := x.Find("app", ""); !errors.Is(err, ErrNotInIndex) {
		t.Error(err)
	}
	if _, err := x.Find("web", "new"); err == nil {
		t.Error("a word is a range")
	}
}

func TestKeysComeBackFromTheirFile(t *testing.T) {
	t.Parallel()
	k, file := key(t), filepath.Join(t.TempDir(), "key")
	if err := k.Save(file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if back, err := LoadKey(file); err != nil || back.Public().String() != k.Public().String() {
		t.Error(err)
	}
	if err := k.Save(file); !errors.Is(err, os.ErrExist) {
		t.Error("overwrote a key", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(file); err == nil || !strings.Contains(err.Error(), "can be read by others") {
		t.Error(err)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKeys(string(secret)); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), strings.TrimSpace(string(secret))) {
		t.Error("a private key is taken, or shown:", err)
	}
	if keys, err := ParseKeys(k.Public().String() + ", " + k.Public().String()); err != nil || len(keys) != 2 {
		t.Error(keys, err)
	}
	if _, err := ParseKeys("attune-index-key-xyz"); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

// FuzzOpen checks that what no trusted key signed is never opened, and that nothing in a list makes it panic.
func FuzzOpen(f *testing.F) {
	k := key(f)
	f.Add([]byte(`{"format":1,"generation":1,"packs":[{"name":"a"}]}`), []byte(`{"key":"x","signature":""}`))
	f.Fuzz(func(t *testing.T, list, sig []byte) {
		if _, err := Open(list, sig, []PublicKey{k.Public()}); err == nil {
			t.Error("opened")
		}
		x, err := parse(list)
		if err != nil {
			return
		}
		for _, e := range x.Packs {
			if filepath.Base(e.File) != e.File {
				t.Error(e.File)
			}
			_, _ = x.Find(e.Name, "^1")
		}
	})
}
