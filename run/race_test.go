//go:build race

package run_test

// raceEnabled: the race detector allocates by itself, so allocation ceilings do not hold.
const raceEnabled = true
