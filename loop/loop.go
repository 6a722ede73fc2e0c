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
	eng    *Engine
	el     gnet.EventLoop
	waker  *waker
	timer  *time.Timer
	poller *poller
	epoll  int // gnet's epoll instance; -1: not known

	goroutine string // "goroutine 12"
	stripe    int    // of the ledger

	// The watchdog.
	health        health
	arrivalsSpare []*arrival // the other buffer of arrivals

	// This loop.
	depth          int   // of run in run
	owner          owner // which goroutine this is, in the debug build
	wheel          wheel
	wheelAt        int64             // when the timer fires for the wheel at the latest; never: it does not
	corked         *Conn             // the one whose bytes are being handled, nil between turns
	cork           []byte            // its replies so far, see Conn.Reply
	replies        int               // frames in cork
	overSoft       bool              // replies of this turn went beyond the soft limit
	blockedScratch []*Conn           // scratch of cutStalled
	dirtySpare     []*Conn           // the other buffer of dirty
	request        handshake.Request // the one being judged
	inflated       []byte            // a message that was compressed; nil until one is
	plain          []byte            // what decrypt returns; nil until somebody speaks TLS
	messages       uint64            // of this turn, not in Counters yet
	inflows        map[*Conn]*inflow // of connections with a rate limit that have sent something

	// Counters are added to by the loop, by its writer and by who emits; anybody may read.
	Counters metrics.Counters

	// Any goroutine.
	turns        atomic.Uint64                       // callbacks begun and ended: odd while in one
	late         atomic.Int64                        // nanoseconds in one callback so far, 0 unless that is long
	dead         atomic.Bool                         // its goroutine has ended
	coming       atomic.Int32                        // connections on their way to it
	conns        atomic.Int32                        // connections on it or on their way to it
	gathered     atomic.Int64                        // bytes that the connection whose callback runs was given to send meanwhile
	flushSure    atomic.Bool                         // the writer was woken, or a turn is under way: the dirty list is sure to be flushed
	pending      atomic.Int32                        // len(dirty) + len(handed)
	wakeSent     atomic.Bool                         // the loop was woken for handed and has not looked yet
	writerSignal chan struct{}                       // wakes the writer
	timeUp       atomic.Bool                         // the timer has fired
	watching     atomic.Bool                         // the timer is set to look after blocked connections
	measures     atomic.Pointer[metrics.LoopMetrics] // nil: nobody wants them

	holders holders

	// Any goroutine, under mu.
	mu      sync.Mutex
	dirty   []*Conn       // to be flushed by the writer, or at the end of this turn
	handed  []*Conn       // to be flushed by the loop alone
	delayed []*Conn       // to be flushed when their window ends
	steps   []func() bool // for the writer to call until they return false
	timerAt int64         // when timer fires; never: it is not set

	arrivals []*arrival // connections on their way here
	stopped  bool
}

const never = math.MaxInt64

// newLoop is called on the loop itself.
func newLoop(e *Engine, gc gnet.Conn, w *waker) (l *Loop, err error) {
	l = &Loop{eng: e, el: gc.EventLoop(), epoll: epollOf(gc.Fd()), waker: w, timerAt: never, wheelAt: never, writerSignal: make(chan struct{}, 1), stripe: w.index}
	if l.poller, err = newPoller(l); err != nil {
		return nil, err
	}
	go l.runWriter()
	l.goroutine = goroutine()
	l.owner.claim(l.goroutine)
	l.wheel.init(tickOf(e.now()))
	l.timer = time.AfterFunc(math.MaxInt64, func() {
		l.timeUp.Store(true)
		l.wake()
	})
	return l, nil
}

// wake makes the loop look at what there is to do. Any goroutine. Failing to is no error: the loop
// has ended then.
func (l *Loop) wake() { _, _ = l.waker.far.Write(oneByte) }

func (l *Loop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.timer.Stop()
	l.signalWriter()
	l.poller.stop()
	l.waker.far.Close()
}

// beginTurn promises that the dirty list is flushed when this turn ends.
func (l *Loop) beginTurn() { l.flushSure.Store(true) }

// endTurn flushes what became dirty meanwhile.
func (l *Loop) endTurn() {
	if l.messages > 0 {
		l.Counters.MessagesIn.Add(l.messages)
		l.messages = 0
	}
	l.flushSure.Store(false)
	if l.pending.Load() > 0 {
		l.flushDirty()
	}
}
