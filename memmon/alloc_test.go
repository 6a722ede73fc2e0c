//go:build !race

package memmon

import "testing"

// The race detector makes sync.Pool drop what it is given, hence the build tag.
func TestReadingAllocatesNothing(t *testing.T) {
	Read() // initialises the runtime's table of metrics
	if n := testing.AllocsPerRun(1000, func() { Read() }); n != 0 {
		t.Errorf("%v allocations per reading", n)
	}
}
