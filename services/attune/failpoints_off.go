//go:build !failpoint

package main

// armFailpoints does nothing: this build has no failpoints.
func armFailpoints() error { return nil }
