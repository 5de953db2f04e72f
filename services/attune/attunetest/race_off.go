//go:build !race

package attunetest

// raceEnabled tells whether the program is built to look for races, as the tests are.
const raceEnabled = false
