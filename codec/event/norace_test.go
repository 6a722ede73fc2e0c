//go:build !race

package event_test

// raceEnabled reports the race detector, under which sonic also runs encoding/json.
const raceEnabled = false
