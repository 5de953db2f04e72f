package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

var (
	// ErrArchive is matched by every error of Unpack that is the archive's fault.
	ErrArchive = errors.New("archive refused")
	// ErrExists is returned by Unpack when the folder is there already.
	ErrExists = errors.New("folder exists")
)

// Unpack writes an archive's files to the folder dir, which must not exist, and returns the archive's digest.
// The archive is a tar, plain or compressed with gzip or zstd, or a zip. Links, special and setuid files, names that lead
// out or that some file system confuses, and anything beyond the limits are refused with the entry's name.
// The folder appears complete, by a rename, or not at all.
func Unpack(r io.Reader, dir string, l Limits) (digest string, err error) {
	staging, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	defer os.RemoveAll(staging) //nolint:errcheck // what remains has a name that says what it is
	if digest, err = unpackInto(r, staging, l); err != nil {
		return "", err
	}
	if err := os.Chmod(staging, 0o755); err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	if err := os.Rename(staging, dir); errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("unpack to %s: %w", dir, ErrExists)
	} else if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	return digest, nil
}

func unpackInto(r io.Reader, dir string, l Limits) (string, error) {
	in := bufio.NewReader(r)
	if magic, err := in.Peek(4); err == nil && isZip(magic) {
		return unzipInto(in, dir, l)
	}
	plain, closer, err := decompress(in)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer closer()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	hash := sha256.New()
	u := &unpacker{root: root, entries: newEntries(l)}
	u.in = io.TeeReader(&bounded{r: plain, left: l.Bytes}, hash)
	if err := u.all(); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// decompress recognises the compression by its first bytes.
func decompress(in *bufio.Reader) (io.Reader, func(), error) {
	magic, err := in.Peek(4)
	if err != nil && len(magic) == 0 {
		return nil, nil, errors.New("empty archive")
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	default:
		return in, func() {}, nil
	}
}

// bounded fails instead of ending when there is more than it may give.
type bounded struct {
	r    io.Reader
	left int64
}

var errTooMuch = errors.New("archive unpacks to more than is allowed")

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

type unpacker struct {
	root    *os.Root
	entries *entries
	in      io.Reader
	files   int
}

func (u *unpacker) all() error {
	t := tar.NewReader(u.in)
	for {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return u.rest()
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if err := u.entry(t, header); err != nil {
			return err
		}
	}
}

// rest reads what follows the tar's end: it belongs to the digest, and a cut stream shows itself there.
func (u *unpacker) rest() error {
	if _, err := io.Copy(io.Discard, u.in); err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if u.files == 0 {
		return fmt.Errorf("%w: no files in it", ErrArchive)
	}
	return nil
}

func (u *unpacker) entry(t *tar.Reader, h *tar.Header) error {
	refuse := func(why any) error { return fmt.Errorf("%w: entry %q: %v", ErrArchive, shorten(h.Name), why) }
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if why := refusedType(h); why != "" {
		return refuse(why)
	}
	name, err := u.entries.add(h.Name, h.Typeflag == tar.TypeDir)
	switch {
	case err != nil:
		return refuse(err)
	case h.Typeflag == tar.TypeDir:
		err = u.root.MkdirAll(name, 0o755)
	case name == ".":
		return refuse("a file without a name")
	default:
		err = u.file(t, h.Mode&0o111 != 0, name)
	}
	if err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrArchive, shorten(h.Name), err)
	}
	return nil
}

func shorten(name string) string {
	if len(name) > 200 {
		return name[:200] + "..."
	}
	return name
}

func refusedType(h *tar.Header) string {
	switch {
	case h.Typeflag == tar.TypeSymlink:
		return "symbolic link to " + shorten(h.Linkname)
	case h.Typeflag == tar.TypeLink:
		return "hard link to " + shorten(h.Linkname)
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
		return "special file"
	case h.Typeflag == tar.TypeReg && h.Mode&0o6000 != 0:
		return "setuid or setgid file"
	default:
		return ""
	}
}

func (u *unpacker) file(in io.Reader, executable bool, name string) error {
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	u.files++
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
