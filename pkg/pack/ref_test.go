package pack

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzValidName has names be what messages say that they must match.
func FuzzValidName(f *testing.F) {
	for _, s := range []string{
		"", "a", "z", "A", "0", "_", "-", "a0", "a9", "a_", "a-", "aZ", "a.b", "a b", "a\n", "\na", "\u00e4", "a\u00e4", "`", "{", "a`", "a{", "a/", "a:", "a\x00", "a\xff",
		strings.Repeat("a", 63), strings.Repeat("a", 64),
	} {
		f.Add(s)
	}
	pattern := regexp.MustCompile(namePattern)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ValidName(s), pattern.MatchString(s); got != want {
			t.Errorf("%q: %t, the pattern says %t", s, got, want)
		}
	})
}
