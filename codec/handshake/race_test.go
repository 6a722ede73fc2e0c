//go:build race

package handshake_test

// The race detector allocates on its own account.
const raceEnabled = true
