package loop

import (
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
	d.eng.wakeAll()
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

// poke makes every loop look at what is due.
func (e *Engine) wakeAll() {
	for _, l := range e.loops {
		l.timeUp.Store(true)
		l.wake()
	}
}
