package scheduler

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/admission"
)

// errNotAnID is returned for an execution id that is not a UUID in its usual form.
var errNotAnID = errors.New("not an execution id")

// parseID reads an execution id. Only the usual form is taken, so that an id has one subject.
func parseID(s string) (admission.ID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return admission.ID{}, fmt.Errorf("%.60q: %w", s, errNotAnID)
	}
	return id, nil
}
