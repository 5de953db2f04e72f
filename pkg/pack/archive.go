package pack

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// leftOut are folders and files that tools leave behind. They are never part of a pack.
var leftOut = map[string]bool{
	".git": true, ".hg": true, ".svn": true, ".venv": true, "__pycache__": true, "node_modules": true,
	".DS_Store": true, ".pytest_cache": true, ".mypy_cache": true, SchemaFolder: true,
}

// LeftOut tells whether a file or folder of this name is never part of a pack.
func LeftOut(name string) bool { return leftOut[name] || strings.HasSuffix(name, ".pyc") }

// Archive gives the archive of a pack's folder, a zstd-compressed tar, and its digest. The same content gives
// the same digest on every machine: only names, bytes and whether a file is executable count. The digest is the
// SHA-256 of the tar before compression, in hexadecimal; Unpack returns it again. An error about the content is
// of type Mistakes.
func Archive(dir string) (digest string, archive []byte, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", nil, fmt.Errorf("archive pack: %w", err)
	}
	defer root.Close()
	files, mistakes := scan(root.FS(), DefaultLimits())
	if err := mistakes.err(); err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	digest, err = compress(&out, root, files)
	if err != nil {
		return "", nil, fmt.Errorf("archive pack: %w", err)
	}
	return digest, out.Bytes(), nil
}

func compress(out io.Writer, root *os.Root, files []file) (string, error) {
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	if err := writeTar(io.MultiWriter(z, hash), root, files); err != nil {
		return "", errors.Join(err, z.Close())
	}
	return hex.EncodeToString(hash.Sum(nil)), z.Close()
}

func writeTar(out io.Writer, root *os.Root, files []file) error {
	t := tar.NewWriter(out)
	for _, f := range files {
		if err := addFile(t, root, f); err != nil {
			return err
		}
	}
	return t.Close()
}

// addFile fails when the file's length changed since the scan.
func addFile(t *tar.Writer, root *os.Root, f file) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if f.executable {
		header.Mode = 0o755
	}
	if err := t.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	in, err := root.Open(f.name)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.Copy(t, in); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// file is a regular file of a pack.
type file struct {
	name       string // slash-separated, within the pack
	size       int64
	executable bool
}

// scan lists the files that belong to a pack, in the order of their names, and what must not be in one.
func scan(fsys fs.FS, l Limits) ([]file, Mistakes) {
	s := &scanner{entries: newEntries(l), left: l.Bytes}
	err := fs.WalkDir(fsys, ".", s.visit)
	if err != nil {
		s.complain(codeUnreadable, ".", err.Error())
	}
	return s.files, s.mistakes
}

type scanner struct {
	entries  *entries
	left     int64 // bytes that may still come
	files    []file
	mistakes Mistakes
}

func (s *scanner) complain(code Code, name, message string) {
	s.mistakes = append(s.mistakes, Mistake{Code: code, File: name, Message: message})
}

func (s *scanner) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		s.complain(codeUnreadable, name, err.Error())
		return nil
	case name == ".":
		return nil
	case LeftOut(d.Name()) && d.IsDir():
		return fs.SkipDir
	case LeftOut(d.Name()):
		return nil
	}
	if _, err := s.entries.add(name, d.IsDir()); err != nil {
		s.complain(codeFileName, name, err.Error())
		if s.entries.count > s.entries.limits.Files {
			return fs.SkipAll
		}
		return nil
	}
	return s.take(name, d)
}

func (s *scanner) take(name string, d fs.DirEntry) error {
	if d.IsDir() {
		return nil
	}
	info, err := d.Info()
	if err != nil {
		s.complain(codeUnreadable, name, err.Error())
		return nil
	}
	if why := refused(info.Mode()); why != "" {
		s.complain(codeFileKind, name, why)
		return nil
	}
	if s.left -= info.Size(); s.left < 0 {
		s.complain(codeTooLarge, name, fmt.Sprintf("the pack is larger than %d bytes", s.entries.limits.Bytes))
		return fs.SkipAll
	}
	s.files = append(s.files, file{name: name, size: info.Size(), executable: info.Mode()&0o111 != 0})
	return nil
}

// refused says why a file of this mode cannot be in a pack.
func refused(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "symbolic link: a pack holds plain files only"
	case !mode.IsRegular():
		return "special file: a pack holds plain files only"
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return "setuid or setgid file"
	default:
		return ""
	}
}

// Root gives the folder below dir that holds pack.yaml: dir itself, or the only folder in it. Archives made by
// others often have the pack's folder inside.
func Root(dir string) string {
	if isFile(filepath.Join(dir, FileName)) {
		return dir
	}
	found, err := os.ReadDir(dir)
	if err == nil && len(found) == 1 && found[0].IsDir() && isFile(filepath.Join(dir, found[0].Name(), FileName)) {
		return filepath.Join(dir, found[0].Name())
	}
	return dir
}

func isFile(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// SchemaFolder is where a pack keeps the schemas for its author's editor. It is no part of the pack.
const SchemaFolder = ".attune"

// FileName is the file that makes a folder a pack.
const FileName = "pack.yaml"
