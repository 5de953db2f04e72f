package definitions

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/pack"
)

// TestOverlappingInstallsLeaveOneWholeVersion installs many versions of one pack at once.
func TestOverlappingInstallsLeaveOneWholeVersion(t *testing.T) {
	t.Parallel()
	s := New(dbtest.New(t))
	g, ctx := errgroup.WithContext(context.Background())
	for i := range 8 {
		g.Go(func() error {
			_, err := s.Install(ctx, installed(version(i), byte('0'+i)))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	snap := snapshot(t, s)
	var i int
	if _, err := fmt.Sscanf(snap.Packs["p"].Version, "1.0.%d", &i); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"always", fmt.Sprintf("only%d", i)} {
		if snap.Actions[pack.Ref{Pack: "p", Name: name}].Digest != snap.Packs["p"].Digest {
			t.Errorf("version %d lacks %s", i, name)
		}
	}
	if len(snap.Actions) != 2 || len(snap.Rules) != 1 {
		t.Errorf("%d actions, %d rules", len(snap.Actions), len(snap.Rules))
	}
}

func version(i int) pack.Pack {
	only := fmt.Sprintf("only%d", i)
	return pack.Pack{
		Name: "p", Version: fmt.Sprintf("1.0.%d", i),
		Actions:  []pack.Action{{Name: "always", Runtime: "shell", EntryPoint: "a"}, {Name: only, Runtime: "shell", EntryPoint: "a"}},
		Triggers: []pack.Trigger{{Name: only}},
		Rules:    []pack.Rule{{Name: "r", Trigger: only, Action: only}},
	}
}
