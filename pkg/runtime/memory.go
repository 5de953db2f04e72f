package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Memory remembers what interpreters said of themselves. One whose file is the very same as then is not asked again,
// so that a process which is started again knows at once what the machine has. What stands for another program, such
// as a version manager's shim, is always asked.
type Memory struct {
	file string

	mu    sync.Mutex // guards the fields below
	known map[string]memory
	used  map[string]bool
}

// memory is one interpreter.
type memory struct {
	File  string `json:"file"` // what tells it from any other file
	Asked string `json:"asked"`
	Found Found  `json:"found"`
}

// OpenMemory reads what was remembered in a file. A file that is not there, or not readable, is an empty memory.
func OpenMemory(file string) *Memory {
	m := &Memory{file: file, known: map[string]memory{}, used: map[string]bool{}}
	if data, err := os.ReadFile(filepath.Clean(file)); err == nil && json.Unmarshal(data, &m.known) != nil {
		m.known = map[string]memory{}
	}
	return m
}

// Save writes what was used since it was opened, and forgets the rest.
func (m *Memory) Save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := map[string]memory{}
	for key := range m.used {
		kept[key] = m.known[key]
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("remember interpreters: %w", err)
	}
	if old, err := os.ReadFile(m.file); err == nil && string(old) == string(data) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remember interpreters: %w", err)
	}
	return replace(m.file, data)
}

// ask gives what is remembered of an interpreter that was asked the same, or asks it. A nil memory asks always.
func (m *Memory) ask(d Definition, file, asked string, ask func() (Found, error)) (Found, error) {
	if m == nil {
		return ask()
	}
	key, id := d.Name+" "+file, identity(file)
	m.mu.Lock()
	known, ok := m.known[key]
	if ok = ok && id != "" && known.File == identity(file, known.Found.OCI) && known.Asked == asked; ok {
		m.used[key] = true
	}
	m.mu.Unlock()
	if ok {
		return known.Found, nil
	}
	f, err := ask()
	if err == nil && id == identity(file) && real(f.Path) == real(file) {
		m.mu.Lock()
		m.known[key], m.used[key] = memory{File: identity(file, f.OCI), Asked: asked, Found: f}, true
		m.mu.Unlock()
	}
	return f, err
}

// identity tells files from all others that may take their places. Names that are empty do not count.
func identity(files ...string) string {
	var text strings.Builder
	for _, file := range files {
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			return ""
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return ""
		}
		fmt.Fprintf(&text, "%s %d %d %d %d.%d ", real(file), s.Dev, s.Ino, s.Size, s.Ctim.Sec, s.Ctim.Nsec)
	}
	return text.String()
}
