package runner

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestHandsAreAsManyAsAreNeededAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHands()
		defer h.dismiss() // the bubble does not end before they have
		for range 3 {
			let := make(chan struct{})
			var done sync.WaitGroup
			done.Add(4)
			for range 4 {
				h.do(func() { defer done.Done(); <-let })
			}
			close(let)
			done.Wait()
			synctest.Wait() // until all wait for work
		}
		waited := 0
		let := make(chan struct{})
		defer close(let)
		for range 5 {
			select {
			case h.work <- func() { <-let }:
				waited++
			default:
			}
		}
		if waited != 4 {
			t.Errorf("after three times four at once %d hands wait for work, not 4", waited)
		}
	})
}
