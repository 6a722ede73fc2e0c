package agloop_test

import (
	"runtime/debug"
	"testing"

	"github.com/agloop/agloop/internal/leaktest"
)

func TestMain(m *testing.M) {
	// All tests share a heap, and the default budget of a manager is 80 MB: what one test leaves behind must not be
	// another's memory pressure.
	debug.SetGCPercent(50)
	leaktest.Main(m)
}
