//go:build race

package attunetest

const raceEnabled = true
