package loop

import (
	"time"

	"github.com/agloop/agloop/batch"
)

// Tuning is what may change while connections are open. A change holds from the next
// message on, for every connection.
type Tuning struct {
	Window batch.Window
	// SoftLimit, LowWater and HardLimit are those of Limits, in bytes.
	SoftLimit, LowWater, HardLimit int
}

func (l *Limits) tuning() Tuning {
	return Tuning{Window: l.window(), SoftLimit: l.SoftLimit, LowWater: l.LowWater, HardLimit: l.HardLimit}
}

// Tuning is what holds now. Any goroutine.
func (d *Door) Tuning() Tuning { return *d.tuned.Load() }

// Tune replaces what holds. What waits under an earlier window is looked at again at
// once. Any goroutine; t must make sense (see Limits).
func (d *Door) Tune(t Tuning) {
	d.tuned.Store(&t)
	d.eng.poke()
}

// Tune is Door.Tune for a dialled connection, which has a door of its own. Any goroutine.
func (c *Conn) Tune(t Tuning) {
	c.door.tuned.Store(&t)
	c.loop.timeUp.Store(true)
	c.loop.wake()
}

// SetZeroCopy says whether messages are delivered as slices of the read buffer, which is
// the default, or as copies that the handler may keep. Any goroutine.
func (d *Door) SetZeroCopy(on bool) { d.copying.Store(!on) }

// SetWakeGap sets the least time between two wakes of a loop's writer for messages that are not
// urgent. A writer that was at rest is woken at once. 0, the default, wakes at once always. Any goroutine.
func (e *Engine) SetWakeGap(d time.Duration) { e.wakeGap.Store(int64(max(d, 0))) }

// WakeGap is what SetWakeGap set.
func (e *Engine) WakeGap() time.Duration { return time.Duration(e.wakeGap.Load()) }

// poke makes every loop look at what is due.
func (e *Engine) poke() {
	for _, l := range e.loops {
		l.timeUp.Store(true)
		l.wake()
	}
}
