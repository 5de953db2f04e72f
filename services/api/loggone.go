package api

import (
	"net/http"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/history"
)

// logGone is the answer to whoever wants the log of an execution that retention has removed; nil for others.
func logGone(e wire.Execution) error {
	if e.RemovedAt == nil {
		return nil
	}
	return problem(http.StatusGone, wire.CodeGone, "the log was removed at "+e.RemovedAt.Format(time.RFC3339)+" by retention: "+e.RemovedBy)
}

// fromHistory gives an execution as history has it.
func fromHistory(e history.Execution) wire.Execution {
	out := wire.FromFact(e.Fact(), nil)
	out.Incomplete = out.Incomplete || e.EndedAt != nil && e.LogSettledAt == nil
	out.RemovedAt, out.RemovedBy = e.LogRemovedAt, e.LogRemovedBy
	return out
}
