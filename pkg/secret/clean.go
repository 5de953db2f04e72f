package secret

import (
	"context"
	"fmt"
)

// What is removed, and after how long. That of an execution which has not ended is kept, however old.
var removals = []string{
	// Secrets whose end came a day ago. Until then they are shown, so that somebody sees why they are not given.
	`DELETE FROM secrets s USING secret_versions v
		WHERE v.owner = s.owner AND v.name = s.name AND v.version = s.version AND v.expires_at < now() - interval '24 hours'`,
	`DELETE FROM secret_versions v USING secrets s
		WHERE v.owner = s.owner AND v.name = s.name AND v.version < s.version AND v.expires_at <= now()`,
	// Those of executions that ended a day ago, and of executions that nobody knows after a month.
	`DELETE FROM secrets s USING executions e
		WHERE s.owner LIKE 'execution:%' AND s.created_at < now() - interval '24 hours'
			AND e.id = CASE WHEN s.owner ~ '^execution:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substr(s.owner, 11)::uuid END
			AND e.ended_at < now() - interval '24 hours'`,
	`DELETE FROM secrets s WHERE s.owner LIKE 'execution:%' AND s.created_at < now() - interval '30 days'
		AND NOT EXISTS (SELECT FROM executions e
			WHERE e.id = CASE WHEN s.owner ~ '^execution:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substr(s.owner, 11)::uuid END
			AND e.ended_at IS NULL)`,
	`DELETE FROM secret_holders WHERE seen_at < now() - interval '` + holderMemory + `'`,
}

// clean removes what has come to its end.
func (s *Store) clean(ctx context.Context) error {
	for _, statement := range removals {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("remove secrets that have ended: %w", err)
		}
	}
	return nil
}
