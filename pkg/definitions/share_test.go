package definitions

import "testing"

func TestServicesOfAProcessShareASnapshot(t *testing.T) {
	t.Parallel()
	s := withBoth(t)
	one, other := New(s.pool), New(s.pool)
	first, err := one.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := other.Snapshot(t.Context()); err != nil || second != first {
		t.Errorf("%p, then %p, %v", first, second, err)
	}
	exec(t, s.pool, "UPDATE definitions_revision SET revision = revision + 1")
	if third, err := other.Snapshot(t.Context()); err != nil || third == first || third.Revision != first.Revision+1 {
		t.Errorf("after a change: %+v, %v", third, err)
	}
}
