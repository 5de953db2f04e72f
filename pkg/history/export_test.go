package history

import (
	"context"
	"errors"
	"testing"
)

// Clear empties history, so that one database serves all the runs of a property.
func (s *Store) Clear(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM executions; DELETE FROM events; DELETE FROM decisions; DELETE FROM rule_sets; DELETE FROM rejected_messages")
	return err
}

// CheckCursor decodes text as a cursor: either it is refused, or it is the text of the place it names.
func CheckCursor(t *testing.T, text string) {
	t.Helper()
	c, err := decodeCursor(text)
	if err != nil {
		if !errors.Is(err, ErrBadCursor) {
			t.Error(err)
		}
		return
	}
	if c == nil {
		return
	}
	again, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodeCursor(again); err != nil || *back != *c {
		t.Errorf("%q named %v, then %v (%v)", text, *c, back, err)
	}
}
