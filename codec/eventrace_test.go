//go:build race

package codec_test

// eventRace reports the race detector, under which sonic also runs encoding/json.
const eventRace = true
