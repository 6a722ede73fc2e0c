package agloop

import (
	"log/slog"
	"time"

	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
)

// LendLoops makes the transport run on e, which it stops. Before Start.
func (t *Transport) LendLoops(e *loop.Engine) {
	t.newEngine = func(int, *memmon.Ledger, *slog.Logger) (*loop.Engine, error) { return e, nil }
}

// SetRandom replaces the source of the transport's jitter. Before Start.
func (t *Transport) SetRandom(random func(n int64) int64) { t.backoff.random = random }

// BackoffDelay is the pause after so many failures.
func BackoffDelay(least, most time.Duration, random func(n int64) int64, failures int, retryAfter time.Duration) time.Duration {
	return backoff{min: least, max: most, random: random}.delay(failures, retryAfter)
}

// CutLargest is what the manager does when connections hold too much.
func (t *Transport) CutLargest(bytes int64) (conns int, freed int64) {
	return transportTarget{t}.cutLargest(bytes, 1<<20)
}

// Tuned is what holds for its connections. After Start.
func (t *Transport) Tuned() Tuning { return t.lifetime.dialer.Tuning() }
