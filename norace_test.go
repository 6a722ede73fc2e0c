//go:build !race && !aguidebug

package agloop_test

const raceEnabled = false
