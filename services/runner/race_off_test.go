//go:build !race

package runner_test

// longLine is how long the longest line of the tests is.
const longLine = 1 << 30
