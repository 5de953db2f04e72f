package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a folder of files; a name that ends in "*" is executable.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if before, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = before, 0o755
		}
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		info, _ := d.Info()
		rel, _ := filepath.Rel(dir, name)
		if info.Mode()&0o111 != 0 {
			rel += "*"
		}
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func archive(t testing.TB, dir string) (string, []byte) {
	t.Helper()
	digest, b, err := Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	return digest, b
}

func TestArchiveComesBackAsItWas(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"pack.yaml": "name: x\n", "actions/a.sh*": "#!/bin/sh\n", "größe/ü.txt": strings.Repeat("long", 50000), "empty": "",
	}
	digest, data := archive(t, write(t, files))
	dir := filepath.Join(t.TempDir(), "out")
	got, err := Unpack(bytes.NewReader(data), dir, DefaultLimits())
	if err != nil || got != digest {
		t.Fatal(got, digest, err)
	}
	if diff := cmp.Diff(files, read(t, dir)); diff != "" {
		t.Error(diff)
	}
	if again, _ := archive(t, dir); again != digest {
		t.Error("archiving what was unpacked gives another digest")
	}
	if _, err := Unpack(bytes.NewReader(data), dir, DefaultLimits()); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
}

func TestDigestDependsOnContentOnly(t *testing.T) {
	t.Parallel()
	base := map[string]string{"pack.yaml": "name: x\n", "a/b.sh*": "x"}
	one, _ := archive(t, write(t, base))
	left := write(t, base)
	for _, junk := range []string{".git/HEAD", "node_modules/x/y.js", "a/__pycache__/b.pyc", "c.pyc", ".DS_Store"} {
		full := filepath.Join(left, junk)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte("junk"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(left, "a/b.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if two, _ := archive(t, left); two != one {
		t.Error("what does not belong to the pack changed its digest")
	}
	for _, other := range []map[string]string{
		{"pack.yaml": "name: x\n", "a/b.sh": "x"}, {"pack.yaml": "name: x\n", "a/c.sh*": "x"}, {"pack.yaml": "name: x\n", "a/b.sh*": "y"},
	} {
		if digest, _ := archive(t, write(t, other)); digest == one {
			t.Errorf("%v has the same digest", other)
		}
	}
}

func TestArchiveRefusesWhatIsNoPlainFile(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"pack.yaml": "", "A.txt": "", "a.txt": "", "setuid*": ""})
	err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(dir, "link")), os.Chmod(filepath.Join(dir, "setuid"), 0o4755|os.ModeSetuid))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Archive(dir)
	if _, ok := errors.AsType[Mistakes](err); !ok {
		t.Fatal(err)
	}
	want := "a.txt: differs from \"A.txt\" only in case or composition\n" +
		"link: symbolic link: a pack holds plain files only\n" +
		"setuid: setuid or setgid file"
	if err.Error() != want {
		t.Error(err)
	}
}

// entry is an entry of a tar that a test makes by hand.
type entry struct {
	tar.Header
	text string
}

func regular(name, text string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}, text}
}

func pack1(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstdCompressed(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestUnpackTakesTarGzipAndZstd(t *testing.T) {
	t.Parallel()
	plain := pack1(t,
		entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "git"}}},
		entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o2775}},
		regular("./pack.yaml", "name: x\n"), regular("./a/b", "text"))
	for name, data := range map[string][]byte{"tar": plain, "gzip": gzipped(plain), "zstd": zstdCompressed(plain)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := Unpack(bytes.NewReader(data), dir, DefaultLimits()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"pack.yaml": "name: x\n", "a/b": "text"}, read(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	head := func(kind byte, name, link string, mode int64) entry {
		return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: mode}}
	}
	whole := gzipped(pack1(t, regular("pack.yaml", strings.Repeat("x", 100000))))
	many := make([]entry, 300)
	for i := range many {
		many[i] = head(tar.TypeDir, "a/", "", 0o755)
	}
	deep := regular(strings.Repeat("a/", 20)+"b", "")
	cases := map[string]struct {
		data []byte
		want string
	}{
		"nothing":            {nil, "empty archive"},
		"no archive":         {[]byte("hello, this is not a tar at all"), "unexpected EOF"},
		"noise":              {bytes.Repeat([]byte("noise"), 500), "invalid tar header"},
		"no files":           {pack1(t), "no files"},
		"parent":             {pack1(t, regular("a/../../x", "")), `entry "a/../../x": name leads out of the pack`},
		"absolute":           {pack1(t, regular("/etc/x", "")), `entry "/etc/x": absolute name`},
		"symbolic link":      {pack1(t, head(tar.TypeSymlink, "a", "../b", 0)), `entry "a": symbolic link to ../b`},
		"hard link":          {pack1(t, regular("b", ""), head(tar.TypeLink, "a", "b", 0)), `entry "a": hard link to b`},
		"device":             {pack1(t, head(tar.TypeChar, "a", "", 0)), `entry "a": special file`},
		"fifo":               {pack1(t, head(tar.TypeFifo, "a", "", 0)), `entry "a": special file`},
		"setuid":             {pack1(t, head(tar.TypeReg, "a", "", 0o4755)), `entry "a": setuid or setgid file`},
		"twice":              {pack1(t, regular("a", ""), regular("./a", "")), `entry "./a": "a" is there twice`},
		"case":               {pack1(t, regular("Straße", ""), regular("STRASSE", "")), `entry "STRASSE": differs from "Straße"`},
		"composition":        {pack1(t, regular("\u00e9", ""), regular("e\u0301", "")), `only in case or composition`},
		"case of a folder":   {pack1(t, regular("A/x", ""), regular("a/y", "")), `entry "a/y": differs from "A"`},
		"file, then folder":  {pack1(t, regular("a", ""), regular("a/b", "")), `entry "a/b": "a" is there twice`},
		"folder, then file":  {pack1(t, regular("a/b", ""), regular("a", "")), `entry "a": "a" is there twice`},
		"control character":  {pack1(t, regular("a\nb", "")), `control character`},
		"backslash":          {pack1(t, regular(`a\..\b`, "")), `backslash`},
		"long name":          {pack1(t, regular(strings.Repeat("a", 300), "")), `longer than 255 bytes`},
		"too deep":           {pack1(t, deep), `more than 10 folders deep`},
		"too many":           {pack1(t, many...), `more than 100 entries`},
		"too large":          {gzipped(pack1(t, regular("a", strings.Repeat("x", 2<<20)))), errTooMuch.Error()},
		"cut":                {whole[:len(whole)-20], "unexpected EOF"},
		"a name of no UTF-8": {pack1(t, regular("a\xff", "")), "not UTF-8"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			_, err := Unpack(bytes.NewReader(c.data), filepath.Join(parent, "out"), Limits{Files: 100, Bytes: 1 << 20, MaxDepth: 10})
			if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if left := read(t, parent); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// zipped makes a zip of entries.
func zipped(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range headers {
		text := h.Comment
		h.Comment, h.Method = "", zip.Deflate
		if h.Mode() == 0 {
			h.SetMode(0o644)
		}
		out, err := w.CreateHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inZip is an entry of a zip; its comment is its content.
func inZip(name, text string, mode os.FileMode) zip.FileHeader {
	h := zip.FileHeader{Name: name, Comment: text}
	h.SetMode(mode)
	return h
}

func TestAZipHasTheDigestOfItsContent(t *testing.T) {
	t.Parallel()
	files := map[string]string{"pack.yaml": "name: x\n", "actions/a.sh*": "#!/bin/sh\n", "größe": strings.Repeat("long", 50000)}
	digest, _ := archive(t, write(t, files))
	data := zipped(t, inZip("größe", files["größe"], 0o644), inZip("actions/", "", 0o755|os.ModeDir),
		inZip("actions/a.sh", files["actions/a.sh*"], 0o755), inZip("pack.yaml", files["pack.yaml"], 0o600))
	dir := filepath.Join(t.TempDir(), "out")
	got, err := Unpack(bytes.NewReader(data), dir, DefaultLimits())
	if err != nil || got != digest {
		t.Fatal(got, digest, err)
	}
	if diff := cmp.Diff(files, read(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestUnpackRefusesInAZip(t *testing.T) {
	t.Parallel()
	many := make([]zip.FileHeader, 300)
	for i := range many {
		many[i] = inZip("a/", "", 0o755|os.ModeDir)
	}
	whole := zipped(t, inZip("pack.yaml", strings.Repeat("x", 1000), 0o644))
	broken := bytes.Clone(whole)
	broken[45] ^= 0xff // within the content
	secret := inZip("a", "x", 0o644)
	secret.Flags = 1
	cases := map[string]struct {
		data []byte
		want string
	}{
		"no files":        {zipped(t), "no files"},
		"parent":          {zipped(t, inZip("a/../../x", "", 0o644)), `entry "a/../../x": name leads out of the pack`},
		"absolute":        {zipped(t, inZip("/etc/x", "", 0o644)), `entry "/etc/x": absolute name`},
		"symbolic link":   {zipped(t, inZip("a", "../b", 0o777|os.ModeSymlink)), `entry "a": symbolic link`},
		"device":          {zipped(t, inZip("a", "", os.ModeDevice|os.ModeCharDevice)), `entry "a": special file`},
		"fifo":            {zipped(t, inZip("a", "", os.ModeNamedPipe)), `entry "a": special file`},
		"setuid":          {zipped(t, inZip("a", "", 0o755|os.ModeSetuid)), `entry "a": setuid or setgid file`},
		"encrypted":       {zipped(t, secret), `entry "a": encrypted`},
		"twice":           {zipped(t, inZip("a", "", 0o644), inZip("./a", "", 0o644)), `entry "./a": "a" is there twice`},
		"case":            {zipped(t, inZip("Straße", "", 0o644), inZip("STRASSE", "", 0o644)), `entry "STRASSE": differs from "Straße"`},
		"backslash":       {zipped(t, inZip(`a\..\b`, "", 0o644)), `backslash`},
		"too deep":        {zipped(t, inZip(strings.Repeat("a/", 20)+"b", "", 0o644)), `more than 10 folders deep`},
		"too many":        {zipped(t, many...), `more than 100 entries`},
		"too large":       {zipped(t, inZip("a", strings.Repeat("x", 2<<20), 0o644)), errTooMuch.Error()},
		"large together":  {zipped(t, inZip("a", strings.Repeat("x", 600<<10), 0o644), inZip("b", strings.Repeat("x", 600<<10), 0o644)), `entry "b": ` + errTooMuch.Error()},
		"cut":             {whole[:len(whole)-20], "not a valid zip"},
		"broken content":  {broken, `entry "pack.yaml"`},
		"one of no UTF-8": {zipped(t, inZip("a\xff", "", 0o644)), "not UTF-8"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			_, err := Unpack(bytes.NewReader(c.data), filepath.Join(parent, "out"), Limits{Files: 100, Bytes: 1 << 20, MaxDepth: 10})
			if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if left := read(t, parent); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRootFindsThePackInAnArchiveOfItsFolder(t *testing.T) {
	t.Parallel()
	inner := write(t, map[string]string{"thing-1.0/pack.yaml": ""})
	if got := Root(inner); got != filepath.Join(inner, "thing-1.0") {
		t.Error(got)
	}
	for _, files := range []map[string]string{{"pack.yaml": "", "x/pack.yaml": ""}, {"a/pack.yaml": "", "b/pack.yaml": ""}, {}} {
		if dir := write(t, files); Root(dir) != dir {
			t.Error(files)
		}
	}
}

// FuzzUnpack checks that nothing is ever written outside the folder, and nothing is left when it fails.
func FuzzUnpack(f *testing.F) {
	f.Add(pack1(f, regular("pack.yaml", "name: x"), regular("../x", "y")))
	f.Add(gzipped(pack1(f, regular("a/b", "c"))))
	f.Add(zstdCompressed(pack1(f, regular("a/b", "c"))))
	f.Add(pack1(f, entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}}, regular("a/b", "c")))
	f.Add(zipped(f, inZip("a/b", "c", 0o644), inZip("../x", "", 0o644)))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		_, err := Unpack(bytes.NewReader(data), filepath.Join(parent, "out"), Limits{Files: 50, Bytes: 1 << 20, MaxDepth: 5})
		found, _ := os.ReadDir(parent)
		switch {
		case err != nil && len(found) != 0:
			t.Errorf("%v, and left %v", err, found)
		case err == nil && (len(found) != 1 || found[0].Name() != "out"):
			t.Errorf("made %v", found)
		}
	})
}
