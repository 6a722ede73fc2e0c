package memmon

import (
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

func TestReadingAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("under the race detector sync.Pool drops what it is given")
	}
	Read() // initialises the runtime's table of metrics
	if n := testing.AllocsPerRun(1000, func() { Read() }); n != 0 {
		t.Errorf("%v allocations per reading", n)
	}
}
