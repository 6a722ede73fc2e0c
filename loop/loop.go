package loop

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/handshake"
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
	spare    []*Conn           // the other buffer of dirty
	request  handshake.Request // the one being judged
	messages uint64            // of this turn, not in Counters yet
	inflows  map[*Conn]*inflow // of connections with a rate limit that have sent something

	// Counters are written by this loop and read by anybody.
	Counters metrics.Counters

	// Any goroutine.
	armed    atomic.Int32                        // what is sure to flush the dirty list: nothing, timed or called
	paced    atomic.Int64                        // time before which only urgent messages call the writer
	pending  atomic.Int32                        // len(dirty) + len(todo)
	rung     atomic.Bool                         // the bell was rung for todo
	calls    chan struct{}                       // wakes the writer
	timeUp   atomic.Bool                         // the timer has fired
	measures atomic.Pointer[metrics.LoopMetrics] // nil: nobody wants them

	// Any goroutine, under mu.
	mu      sync.Mutex
	dirty   []*Conn // to be flushed by the writer, or at the end of this turn
	todo    []*Conn // to be flushed by the loop alone
	delayed []*Conn // to be flushed when their window ends
	timerAt int64   // when timer fires; never: it is not set
	stopped bool
}

const never = math.MaxInt64

// newLoop is called on the loop itself.
func newLoop(e *Engine, el gnet.EventLoop, b *bell) *Loop {
	l := &Loop{eng: e, el: el, bell: b, timerAt: never, wheelAt: never, calls: make(chan struct{}, 1)}
	go l.write()
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
	l.callWriter()
	l.bell.ring.Close()
}

// beginTurn makes the end of this turn responsible for the dirty list.
func (l *Loop) beginTurn() { l.armed.Store(called) }

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
