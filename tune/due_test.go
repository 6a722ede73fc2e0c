package tune

import (
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	const ms = int64(time.Millisecond)
	w := Default()
	for _, tc := range []struct {
		name          string
		w             Tuning
		frames, bytes int
		flushed, now  int64
		due           int64
	}{
		{"quiet connection: at once", w, 1, 50, 0, 100 * ms, 5 * ms},
		{"within the window: at its end", w, 1, 50, 100 * ms, 102 * ms, 105 * ms},
		{"nine wait", w, 9, 500, 100 * ms, 102 * ms, 105 * ms},
		{"ten do not", w, 10, 500, 100 * ms, 102 * ms, 102 * ms},
		{"16 KiB do not", w, 2, 16 << 10, 100 * ms, 102 * ms, 102 * ms},
		{"size 1: never", Tuning{MessageBatchSize: 1, MessageBatchTimeout: time.Second}, 1, 1, 100 * ms, 100 * ms, 100 * ms},
		{"timeout off: never", Tuning{MessageBatchSize: 10, MessageBatchTimeout: -1}, 1, 1, 100 * ms, 100 * ms, 100*ms - 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if due := tc.w.Due(tc.frames, tc.bytes, tc.flushed, tc.now); due != tc.due {
				t.Errorf("due at %d, want %d", due, tc.due)
			}
		})
	}
}
