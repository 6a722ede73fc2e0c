package loop

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/metrics"
	"github.com/panjf2000/gnet/v2"
)

// Loop is our side of one gnet event loop.
type Loop struct {
	// Immutable.
	eng   *Engine
	el    gnet.EventLoop
	bell  *bell
	timer *time.Timer

	// This loop.
	owner    owner // which goroutine this is, in the debug build
	wheel    wheel
	wheelAt  int64             // when the timer fires for the wheel at the latest; never: it does not
	blocked  []blocked         // connections of whose bytes the kernel took not all
	poll     int64             // nanoseconds until blocked is looked at again
	iov      [][]byte          // scratch for vectored writes
	messages uint64            // of this turn, not in Counters yet
	inflows  map[*Conn]*inflow // of connections with a rate limit that have sent something

	// Counters are written by this loop and read by anybody.
	Counters metrics.Counters

	// Any goroutine.
	armed    atomic.Int32                        // what is sure to flush the dirty list: nothing, timed or rung
	paced    atomic.Int64                        // time before which only urgent messages ring
	pending  atomic.Int32                        // len(dirty)
	timeUp   atomic.Bool                         // the timer has fired
	measures atomic.Pointer[metrics.LoopMetrics] // nil: nobody wants them

	// Any goroutine, under mu.
	mu      sync.Mutex
	dirty   []*Conn // to be flushed at the end of this turn
	spare   []*Conn // the other buffer of dirty
	delayed []*Conn // to be flushed when their window ends
	timerAt int64   // when timer fires; never: it is not set
	stopped bool
}

const never = math.MaxInt64

// newLoop is called on the loop itself.
func newLoop(e *Engine, el gnet.EventLoop, b *bell) *Loop {
	l := &Loop{eng: e, el: el, bell: b, timerAt: never, wheelAt: never}
	l.owner.claim()
	l.wheel.init(tickOf(e.now()))
	l.timer = time.AfterFunc(math.MaxInt64, func() {
		l.timeUp.Store(true)
		l.wake()
	})
	return l
}

// wake makes the loop look at what there is to do. An engine that has stopped
// needs it no more, hence no error.
func (l *Loop) wake() { _, _ = l.bell.ring.Write(oneByte) }

func (l *Loop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.timer.Stop()
	l.bell.ring.Close()
}

// What armed says.
const (
	nothing int32 = iota // the next push must see to it
	timed                // the timer will
	rung                 // the bell was rung, or a turn is under way
)

// push puts c on the dirty list and calls the loop. Any goroutine.
func (l *Loop) push(c *Conn, u urgency) {
	l.mu.Lock()
	l.dirty = append(l.dirty, c)
	l.pending.Store(int32(len(l.dirty)))
	l.mu.Unlock()
	l.call(u)
}

// call sees to it that the dirty list is flushed: soon, or at once if u is urgent. Any
// goroutine.
func (l *Loop) call(u urgency) {
	// Either the loop, having lowered armed, sees pending; or we see armed lowered.
	for {
		armed := l.armed.Load()
		if armed == rung || armed == timed && u == batched {
			return
		}
		at := l.paced.Load()
		if u == batched && at > l.eng.now() {
			if l.armed.CompareAndSwap(armed, timed) {
				l.armBy(at)
				return
			}
		} else if l.armed.CompareAndSwap(armed, rung) {
			l.Counters.Wakes.Add(1)
			l.wake()
			return
		}
	}
}

// beginTurn makes the end of this turn responsible for the dirty list.
func (l *Loop) beginTurn() { l.armed.Store(rung) }

// endTurn flushes what became dirty meanwhile.
func (l *Loop) endTurn() {
	if l.messages > 0 {
		l.Counters.MessagesIn.Add(l.messages)
		l.messages = 0
	}
	l.armed.Store(nothing)
	if l.pending.Load() > 0 {
		l.flushDirty()
	}
}

// flushDirty writes the outboxes of all dirty connections: one write each.
func (l *Loop) flushDirty() {
	l.owner.check()
	l.armed.Store(nothing) // first: a push from now on must wake us again
	l.mu.Lock()
	list := l.dirty
	l.dirty = l.spare[:0]
	l.spare = nil
	l.pending.Store(0)
	l.mu.Unlock()
	if len(list) == 0 {
		l.spare = list
		return
	}
	now := l.eng.now()
	l.paced.Store(now + l.eng.wakeGap.Load())
	for _, c := range list {
		if c.awaitsFlush() { // not flushed by its window or by a turn meanwhile
			c.flush(now)
		}
	}
	clear(list)
	l.mu.Lock()
	l.spare = list
	l.mu.Unlock()
}

// delay puts c on the list of those whose window ends at the given time. Any goroutine.
func (l *Loop) delay(c *Conn, at int64) {
	l.mu.Lock()
	l.delayed = append(l.delayed, c)
	l.arm(at)
	l.mu.Unlock()
}

// arm makes the timer fire at the given time at the latest. Under mu.
func (l *Loop) arm(at int64) {
	if at < l.timerAt && !l.stopped {
		l.timerAt = at
		l.timer.Reset(time.Duration(max(at-l.eng.now(), 0)))
	}
}

// armBy is arm for the loop itself.
func (l *Loop) armBy(at int64) {
	l.mu.Lock()
	l.arm(at)
	l.mu.Unlock()
}

// windowSlack gathers windows that end so close together into one turn.
const windowSlack = int64(500 * time.Microsecond)

// onTime does what is due: windows, blocked connections, deadlines.
func (l *Loop) onTime() {
	l.owner.check()
	l.beginTurn()
	now := l.eng.now()
	l.wheelAt = never
	next := min(l.flushDelayed(now), l.pollBlocked(now))
	l.wheelAt = min(l.wheelAt, l.wheel.advance(tickOf(now), (*Conn).onDeadline))
	l.armBy(min(next, l.wheelAt))
	l.endTurn()
}

// flushDelayed flushes the connections whose window is over and returns when the
// next one ends.
func (l *Loop) flushDelayed(now int64) (next int64) {
	l.mu.Lock()
	list := l.delayed
	l.delayed = nil
	l.timerAt = never
	l.mu.Unlock()
	next = never
	kept := list[:0]
	for _, c := range list {
		switch due := c.windowEnd(now); {
		case due <= now+windowSlack:
			c.flush(now)
		case due != never:
			kept = append(kept, c)
			next = min(next, due)
		}
	}
	clear(list[len(kept):])
	l.mu.Lock()
	l.delayed = append(kept, l.delayed...)
	l.mu.Unlock()
	return next
}
