package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// ErrUsers is returned when every user of the range is taken.
var ErrUsers = errors.New("no user is free")

// Range is a range of user ids, both ends included.
type Range struct{ First, Last uint32 }

// DefaultUsers is a range that systems and container engines leave alone.
var DefaultUsers = Range{First: 2000000, Last: 2065535}

// lowestUser keeps the range from those that systems give to people and services.
const lowestUser = 65536

// ParseRange reads a range such as 2000000-2065535; "none" is the zero value.
func ParseRange(text string) (Range, error) {
	if text == "none" {
		return Range{}, nil
	}
	from, to, _ := strings.Cut(text, "-")
	first, err1 := strconv.ParseUint(from, 10, 32)
	last, err2 := strconv.ParseUint(to, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return Range{}, fmt.Errorf("want two user ids, such as %s, or none", DefaultUsers)
	}
	r := Range{First: uint32(first), Last: uint32(last)}
	if r.First < lowestUser || r.Last < r.First || r.Last == 1<<32-1 {
		return Range{}, fmt.Errorf("want user ids from %d up, the lower one first", lowestUser)
	}
	return r, nil
}

// String writes a range as ParseRange reads it.
func (r Range) String() string {
	if r == (Range{}) {
		return "none"
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// users gives each program one that no other running program has. One that was given back comes last again.
type users struct {
	Range

	mu    sync.Mutex // guards the fields below
	next  uint32
	taken map[uint32]struct{}
}

// newUsers begins anywhere in the range: another runner of the machine may have the same one.
func newUsers(r Range) *users {
	return &users{Range: r, next: r.First + rand.Uint32N(r.Last-r.First+1), taken: map[uint32]struct{}{}} //nolint:gosec // it need not be a secret
}

// TakeUser gives a user for a program; 0 where programs keep that of this process.
func (s *Sandbox) TakeUser() (uint32, error) {
	if s == nil || s.users == nil {
		return 0, nil
	}
	return s.users.take()
}

// GiveUser gives it back, once nothing of the program is left.
func (s *Sandbox) GiveUser(id uint32) {
	if s != nil && s.users != nil && id != 0 {
		s.users.give(id)
	}
}

// UsersLeft tells how many programs can still have a user of their own, where they have one.
func (s *Sandbox) UsersLeft() (n int, limited bool) {
	if s == nil || s.users == nil {
		return 0, false
	}
	s.users.mu.Lock()
	defer s.users.mu.Unlock()
	return int(s.users.Last-s.users.First) + 1 - len(s.users.taken), true
}

func (u *users) take() (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range uint64(u.Last-u.First) + 1 {
		id := u.next
		if u.next++; u.next > u.Last {
			u.next = u.First
		}
		if _, taken := u.taken[id]; !taken {
			u.taken[id] = struct{}{}
			return id, nil
		}
	}
	return 0, fmt.Errorf("users %s: %w", u.Range, ErrUsers)
}

func (u *users) give(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.taken, id)
}
