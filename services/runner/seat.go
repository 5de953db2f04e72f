package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/execution"
)

// seat is what an execution needs of the disk: an empty folder to work in and a file for its end. Making both
// costs more than starting a process, so a seat that was left as it was found serves the next execution.
type seat struct {
	dir   string
	spool *os.File // one fact and a line end; what follows is of longer facts before
}

// resultFile is where the program of the seat writes its result.
func (s *seat) resultFile() string { return filepath.Join(s.dir, "result.json") }

// spoolEmpty stands at the beginning of a spool file whose fact was delivered.
const spoolEmpty = '#'

// take gives a seat whose folder is empty and readable by nobody else.
func (p *place) take() (*seat, error) {
	p.mu.Lock()
	if n := len(p.seats); n > 0 {
		s := p.seats[n-1]
		p.seats = p.seats[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	dir, err := os.MkdirTemp(p.work, "")
	if err != nil {
		return nil, fmt.Errorf("working folder: %w", err)
	}
	spool, err := os.OpenFile(filepath.Join(p.spool, filepath.Base(dir)+".json"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), os.Remove(dir))
	}
	return &seat{dir: dir, spool: spool}, nil
}

// untouched takes a seat back that nobody was given.
func (p *place) untouched(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats = append(p.seats, s)
}

// leave takes a seat back once its execution has ended and its end was delivered.
func (p *place) leave(s *seat) error {
	if s.clean() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seats = append(p.seats, s)
		return nil
	}
	return s.remove()
}

// clean empties the folder of what an ordinary execution leaves, and tells whether it is as it was made.
func (s *seat) clean() bool {
	if err := os.Lchown(s.dir, os.Geteuid(), os.Getegid()); err != nil {
		return false
	}
	if err := os.Remove(s.resultFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	info, err := os.Lstat(s.dir)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		return false
	}
	left, err := os.ReadDir(s.dir)
	return err == nil && len(left) == 0
}

// remove gives the seat up, with what was delivered of it.
func (s *seat) remove() error {
	return errors.Join(environment.RemoveAll(s.dir), s.spool.Close(), os.Remove(s.spool.Name()))
}

// abandon gives the seat up, and keeps the end that was not delivered.
func (s *seat) abandon() error { return errors.Join(environment.RemoveAll(s.dir), s.spool.Close()) }

// keep writes an end. It survives this process; a power failure it need not survive: the execution is lost
// then.
func (s *seat) keep(f execution.Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode end of execution %s: %w", f.ID, err)
	}
	if _, err := s.spool.WriteAt(append(data, '\n'), 0); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// delivered marks the end as delivered.
func (s *seat) delivered() error {
	if _, err := s.spool.WriteAt([]byte{spoolEmpty}, 0); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// spooled gives the end that a spool file holds; nil when there is none.
func spooled(file string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if len(line) == 0 || line[0] == spoolEmpty {
		return nil, nil
	}
	return line, nil
}
