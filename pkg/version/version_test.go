package version_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/version"
)

func TestRangesHoldVersions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		in, out []string
	}{
		{"", []string{"1", "3.9", "linux/amd64", ""}, nil},
		{">=3.9,<3.13", []string{"3.9", "3.9.0", "3.12.11"}, []string{"3.8.20", "3.13.0", "nonsense", ""}},
		{">=3.9, <3.13", []string{"3.12.1"}, []string{"3.13.5"}},
		{"==3.11", []string{"3.11.9"}, []string{"3.12.0"}},
		{"^20", []string{"20.19.5"}, []string{"22.0.0", "18.0.0"}},
		{"~3.9.1", []string{"3.9.7"}, []string{"3.10.0"}},
		{"!=3.10", []string{"3.9.1"}, []string{"3.10.4"}},
		{">=5", []string{"5.2.15"}, []string{"5.0.0-rc1"}},
	} {
		r, err := version.ParseRange(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		for _, v := range tt.in {
			if !r.Holds(v) {
				t.Errorf("%q does not hold %q", tt.text, v)
			}
		}
		for _, v := range tt.out {
			if r.Holds(v) {
				t.Errorf("%q holds %q", tt.text, v)
			}
		}
		if r.String() != tt.text {
			t.Errorf("%q is written as %q", tt.text, r)
		}
	}
}

func TestWhatIsNoRange(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"three", ">=", "3.9;", ">=3.9 or so", "3.9.1.2.3"} {
		if _, err := version.ParseRange(text); !errors.Is(err, version.ErrRange) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestVersionsAreOrderedAsNumbers(t *testing.T) {
	t.Parallel()
	got := []string{"3.10.1", "3.9", "posix", "1.0.0", "1.0.0-rc.1", "unknown"}
	slices.SortFunc(got, version.Compare)
	want := []string{"posix", "unknown", "1.0.0-rc.1", "1.0.0", "3.9", "3.10.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
