package cli

import (
	"errors"
	"os"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/sandbox"
)

// checkIsolation opens the sandbox that a runner of this user would have.
func checkIsolation(cfg config.Config, data string) finding {
	const check = "isolation"
	if cfg.Isolation == config.IsolationNone {
		return finding{Check: check, Level: levelWarn, Detail: "none: actions may do whatever Attune may", Advice: "unset ATTUNE_ISOLATION"}
	}
	features, err := sandboxHere(cfg, data)
	switch {
	case errors.Is(err, sandbox.ErrFloor):
		return finding{Check: check, Level: levelFail, Detail: err.Error(), Advice: "use Linux 5.13 or later with Landlock, or see docs/isolation.md"}
	case err != nil:
		return finding{Check: check, Level: levelFail, Detail: err.Error(), Advice: "see docs/isolation.md"}
	}
	return ok(check, "%s", sandbox.Summary(features))
}

func sandboxHere(cfg config.Config, data string) (features []sandbox.Feature, err error) {
	dir, err := os.MkdirTemp("", "attune-doctor-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := sandbox.Open(sandbox.Config{Dir: dir, Hidden: append(cfg.CredentialFiles(), data), Users: cfg.ActionUsers()})
	if err != nil {
		return nil, err
	}
	return s.Features(), s.Close()
}
