//go:build !race

package agloop_test

const raceEnabled = false
