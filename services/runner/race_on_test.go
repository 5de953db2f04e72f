//go:build race

package runner_test

// longLine is how long the longest line of the tests is. The race detector looks at every byte.
const longLine = 128 << 20
