package api

import (
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/history"
)

// fromHistory gives an execution as history has it.
func fromHistory(e history.Execution) wire.Execution {
	out := wire.FromFact(e.Fact(), nil)
	out.Incomplete = out.Incomplete || e.EndedAt != nil && e.LogSettledAt == nil
	out.RemovedAt, out.RemovedBy = e.LogRemovedAt, e.LogRemovedBy
	return out
}
