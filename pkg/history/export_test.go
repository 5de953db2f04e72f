package history

import "context"

// Clear empties history, so that one database serves all the runs of a property.
func (s *Store) Clear(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM executions; DELETE FROM events; DELETE FROM rejected_messages")
	return err
}
