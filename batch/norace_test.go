//go:build !race && !aguidebug

package batch

const raceEnabled = false
