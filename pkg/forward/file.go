package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// fileName is the file that is written; those before it are fileName.1, the newest, and so on.
const fileName = "attune.jsonl"

// files writes records as lines of JSON. What was written is on disk before it counts as taken, and a file has whole
// lines only: one that was cut off by a crash is removed at the next start, and comes again.
type files struct {
	path string
	most int64
	keep int

	file *os.File // nil until it is needed
	size int64    // of it, whole lines
}

func newFiles(t target) *files {
	return &files{path: filepath.Join(t.folder, fileName), most: t.fileBytes, keep: t.fileKeep}
}

func (f *files) Close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return file.Close()
}

// Send appends the records, in as many files as they need.
func (f *files) Send(_ context.Context, records []Record) (Outcome, error) {
	done := 0
	for done < len(records) {
		data, n, err := f.fill(records[done:])
		if err == nil {
			err = f.append(data)
		}
		if err != nil {
			return Outcome{Taken: done}, errors.Join(err, f.Close()) // to be opened, and repaired, again
		}
		done += n
	}
	return Outcome{Taken: done}, nil
}

// fill gives the lines of as many records as the file has room for, at least of one.
func (f *files) fill(records []Record) (data []byte, n int, err error) {
	if f.file == nil {
		if err := f.open(); err != nil {
			return nil, 0, err
		}
	}
	for _, r := range records {
		before := len(data)
		if data, err = r.appendJSON(data); err != nil {
			return nil, 0, err
		}
		if f.size+int64(len(data)) > f.most && f.size+int64(before) > 0 {
			if n > 0 {
				return data[:before], n, nil
			}
			if err := f.rotate(); err != nil {
				return nil, 0, err
			}
		}
		n++
	}
	return data, n, nil
}

func (f *files) append(data []byte) error {
	n, err := f.file.Write(data)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("append to %s: %w", f.path, err)
	}
	f.size += int64(n)
	return nil
}

// open opens the file behind its last whole line.
func (f *files) open() error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	size, err := wholeLines(file)
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Sync(), syncFolder(dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", f.path, err), file.Close())
	}
	f.file, f.size = file, size
	return nil
}

// wholeLines is the length of the file up to its last newline.
func wholeLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	room := make([]byte, maxLine)
	for end := info.Size(); end > 0; {
		start := max(end-int64(len(room)), 0)
		part := room[:end-start]
		if _, err := file.ReadAt(part, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return start + int64(at) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// rotate moves every file one further, drops those beyond what is kept, and begins a new one.
func (f *files) rotate() error {
	if err := f.Close(); err != nil {
		return err
	}
	if f.keep == 0 {
		if err := os.Remove(f.path); err != nil {
			return err
		}
		return f.open()
	}
	for n := f.keep - 1; n >= 0; n-- {
		if err := os.Rename(f.numbered(n), f.numbered(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return f.open()
}

func (f *files) numbered(n int) string {
	if n == 0 {
		return f.path
	}
	return f.path + "." + strconv.Itoa(n)
}

// syncFolder makes what was created and renamed in a folder last.
func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
