package retention

import (
	"context"
	"time"

	"github.com/attune/attune/pkg/logs"
)

// Dead lists the logs stored before that time that nobody knows any more.
func (s *Sweeper) Dead(ctx context.Context, before time.Time) (ids []string, err error) {
	living, err := s.living(ctx)
	if err != nil {
		return nil, err
	}
	for l, err := range s.Logs.List(ctx, before) {
		if err != nil {
			return nil, err
		}
		dead, err := s.dead(ctx, []logs.Listed{l}, living)
		if err != nil {
			return nil, err
		}
		for _, d := range dead {
			ids = append(ids, d.ID)
		}
	}
	return ids, nil
}
