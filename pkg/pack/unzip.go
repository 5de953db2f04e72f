package pack

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxZip bounds a zip, which is read whole because its table of contents is at its end.
const maxZip = 256 << 20

// isZip tells a zip by its first bytes: an entry, or the end of an empty one.
func isZip(magic []byte) bool {
	return bytes.Equal(magic, []byte("PK\x03\x04")) || bytes.Equal(magic, []byte("PK\x05\x06"))
}

// unzipInto is unpackInto for a zip. The digest is that of the tar that Archive would make of its content, so that a
// pack has one digest in whatever it travels; what is left out there is left out here.
func unzipInto(r io.Reader, dir string, l Limits) (string, error) {
	data, err := io.ReadAll(&bounded{r: r, left: maxZip})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if bytes.Count(data, []byte("PK\x01\x02")) > l.Files { // the reader would hold them all before any is refused
		return "", fmt.Errorf("%w: more than %d entries", ErrArchive, l.Files)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // such names are refused one by one
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	u := &unpacker{root: root, entries: newEntries(l)}
	left := l.Bytes
	for _, f := range z.File {
		if err := u.zipped(f, &left); err != nil {
			return "", fmt.Errorf("%w: entry %q: %w", ErrArchive, shorten(f.Name), err)
		}
	}
	if u.files == 0 {
		return "", fmt.Errorf("%w: no files in it", ErrArchive)
	}
	return digestOf(root, l)
}

// zipped unpacks an entry, of whose content no more than left bytes may come.
func (u *unpacker) zipped(f *zip.File, left *int64) error {
	mode, folder := f.Mode(), strings.HasSuffix(f.Name, "/")
	switch {
	case mode&fs.ModeSymlink != 0:
		return errors.New("symbolic link")
	case folder != mode.IsDir() || !folder && !mode.IsRegular():
		return errors.New("special file")
	case mode.IsRegular() && mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return errors.New("setuid or setgid file")
	case f.Flags&1 != 0:
		return errors.New("encrypted")
	}
	name, err := u.entries.add(f.Name, folder)
	switch {
	case err != nil:
		return err
	case folder:
		return u.root.MkdirAll(name, 0o755)
	case name == ".":
		return errors.New("a file without a name")
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	content := &bounded{r: in, left: *left}
	err = u.file(content, mode&0o111 != 0, name)
	*left = content.left
	return err
}

// digestOf gives the digest of the pack that was unpacked to root.
func digestOf(root *os.Root, l Limits) (string, error) {
	files, mistakes := scan(root.FS(), l)
	if err := mistakes.err(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	hash := sha256.New()
	if err := writeTar(hash, root, files); err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
