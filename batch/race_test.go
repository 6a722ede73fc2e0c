//go:build race

package batch

// raceEnabled: the race detector allocates by itself, so allocation ceilings do not hold.
const raceEnabled = true
