//go:build !race

package codec_test

const upgradeRace = false
