package process

import "testing"

// A look for orphans that is left out too early would leave what a program left behind running.
func TestOrphansAreLookedForUntilNoneWasLeftAfterEverythingEnded(t *testing.T) {
	t.Parallel()
	l := &Launcher{runs: map[mark]*run{}, mains: map[int]struct{}{}, astir: true}
	expect := func(when string, want bool) {
		t.Helper()
		if got := l.stirs(); got != want {
			t.Errorf("%s: looks for orphans: %v, want %v", when, got, want)
		}
	}
	expect("after the start", true)
	expect("at rest", false)

	brief := &run{}
	if err := l.number(brief); err != nil {
		t.Fatal(err)
	}
	l.forget(brief)
	expect("after a program that nobody saw running", true)
	expect("at rest again", false)

	long := &run{}
	if err := l.number(long); err != nil {
		t.Fatal(err)
	}
	expect("while a program runs", true)
	expect("while it still runs", true)
	l.forget(long)
	expect("after it has ended", true)

	l.stir() // as the look does that finds an orphan
	expect("after one was found", true)
	expect("after none was found", false)
}
