//go:build race

package loop_test

// raceEnabled: the race detector allocates by itself, so allocation ceilings do not hold.
const raceEnabled = true
