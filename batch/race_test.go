//go:build race || aguidebug

package batch

// raceEnabled: the race detector and the checks of the debug build allocate by themselves,
// so allocation ceilings do not hold.
const raceEnabled = true
