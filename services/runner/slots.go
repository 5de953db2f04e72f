package runner

import "sync"

// slots counts how many executions may still be taken.
type slots struct {
	freed chan struct{} // holds a token after a slot was returned

	mu   sync.Mutex // guards free
	free int
}

func newSlots(n int) *slots { return &slots{freed: make(chan struct{}, 1), free: n} }

// take takes a slot, or tells that none is free.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	return true
}

// leave returns a slot.
func (s *slots) leave() {
	s.mu.Lock()
	s.free++
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

func (s *slots) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}
