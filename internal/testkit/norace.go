//go:build !race && !aguidebug

package testkit

// Race: the race detector and the checks of the debug build allocate by themselves and take many
// times as long, so ceilings of allocations, memory and time do not hold.
const Race = false
