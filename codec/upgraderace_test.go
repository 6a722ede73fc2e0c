//go:build race

package codec_test

// The race detector allocates on its own account.
const upgradeRace = true
