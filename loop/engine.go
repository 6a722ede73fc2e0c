package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/deflate"
	_ "github.com/agloop/agloop/internal/platform" // one sentence where there is neither epoll nor kqueue
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
	"github.com/panjf2000/gnet/v2"
)

// Engine is a set of loops. Connections come in by Enroll, from an accept goroutine or a dial, and
// each stays on one loop until it closes.
type Engine struct {
	gnet.BuiltinEventEngine

	// Immutable.
	log    *slog.Logger
	ledger *memmon.Ledger // of what its connections hold
	start  time.Time

	// Any goroutine; written by Start.
	client *gnet.Client
	loops  atomic.Pointer[[]*Loop] // nil until all are there

	// Any goroutine.
	quit     chan struct{} // closed by Stop
	stopped  chan struct{} // closed when all loops have ended
	stopErr  error         // written before that
	skew     atomic.Int64  // tests move the clock by it
	deflated deflate.Cache // what was compressed lately, for all connections
	enrolls  sync.RWMutex  // held for reading while enrolling: an Enroll on stopped loops would never return
	closed   bool          // under enrolls
}

// NewEngine makes an engine and starts it, see Start.
func NewEngine(loops int, ledger *memmon.Ledger, log *slog.Logger) (*Engine, error) {
	e := PrepareEngine(ledger, log)
	if err := e.Start(loops); err != nil {
		return nil, err
	}
	return e, nil
}

// PrepareEngine makes an engine that has no loops yet. What its connections hold is counted in
// ledger; nil is one of its own. A nil log is slog.Default.
func PrepareEngine(ledger *memmon.Ledger, log *slog.Logger) *Engine {
	if ledger == nil {
		ledger = memmon.NewLedger()
	}
	if log == nil {
		log = slog.Default()
	}
	// The clock began an hour ago, so that 0, which stands for never, is long past.
	return &Engine{
		log: log, ledger: ledger, start: time.Now().Add(-time.Hour),
		quit: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// Start starts so many event loops; 0 is one less than GOMAXPROCS, at least one: with a busy loop
// on every P, the scheduler's monitor takes the P away in every system call. After an error it may be
// tried again.
func (e *Engine) Start(loops int) error {
	if loops <= 0 {
		loops = max(1, runtime.GOMAXPROCS(0)-1)
	}
	client, err := gnet.NewClient(e,
		gnet.WithNumEventLoop(loops),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithReadBufferCap(readBuffer),
		gnet.WithLogger(gnetLog{e.log}),
	)
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	e.client = client
	var list []*Loop
	for i := range loops {
		l, err := e.addLoop(i)
		if err != nil {
			_ = client.Stop() // the first error is the cause
			for _, l := range list {
				l.stop()
			}
			e.client = nil
			return err
		}
		list = append(list, l)
	}
	e.loops.Store(&list)
	go e.watch()
	return nil
}

// all are its loops.
func (e *Engine) all() []*Loop {
	if list := e.loops.Load(); list != nil {
		return *list
	}
	return nil
}

// Loops is the number of event loops.
func (e *Engine) Loops() int { return len(e.all()) }

// Stop closes every connection at once and ends the loops. It waits for handlers that are being
// called, until ctx ends: then it returns an error that says so, and the loops end when the
// handlers return. It may be called again. It must not be called on a loop.
func (e *Engine) Stop(ctx context.Context) error {
	e.enrolls.Lock()
	first := !e.closed
	e.closed = true
	e.enrolls.Unlock()
	if first {
		close(e.quit)
		go e.end()
	}
	select {
	case <-e.stopped:
		return e.stopErr
	default:
	}
	select {
	case <-e.stopped:
		return e.stopErr
	case <-ctx.Done():
		return fmt.Errorf("agloop: a handler blocks its loop: %w", ctx.Err())
	}
}

// end is the part of Stop that may last.
func (e *Engine) end() {
	e.awaitArrivals()
	if e.client != nil {
		if err := e.client.Stop(); !errors.Is(err, context.Canceled) {
			e.stopErr = err
		}
	}
	for _, l := range e.all() {
		l.stop()
	}
	close(e.stopped)
}

// AddTo adds the counters of all loops to s.
func (e *Engine) AddTo(s *metrics.Snapshot) {
	for _, l := range e.all() {
		l.Counters.AddTo(s)
	}
}

// wakeAll makes every loop look at what is due. Any goroutine.
func (e *Engine) wakeAll() {
	for _, l := range e.all() {
		l.timeUp.Store(true)
		l.wake()
	}
}

// now is the monotonic clock in nanoseconds; never near zero.
func (e *Engine) now() int64 { return int64(time.Since(e.start)) + e.skew.Load() }

// loopOf finds our loop for gnet's. There are few.
func (e *Engine) loopOf(el gnet.EventLoop) *Loop {
	for _, l := range e.all() {
		if l.el == el {
			return l
		}
	}
	return nil
}

// OnOpen implements gnet.EventHandler.
func (e *Engine) OnOpen(gc gnet.Conn) (out []byte, action gnet.Action) {
	switch c := gc.Context().(type) {
	case *Conn:
		l := e.loopOf(gc.EventLoop())
		l.run(c, func(c *Conn) {
			if !c.onOpen(l, gc) {
				action = gnet.Close
			}
		})
	case *waker:
		c.onOpen(e, gc)
	}
	return nil, action
}

// OnTraffic implements gnet.EventHandler.
func (e *Engine) OnTraffic(gc gnet.Conn) gnet.Action {
	switch c := gc.Context().(type) {
	case *Conn:
		c.loop.run(c, (*Conn).onTraffic)
	case *waker:
		if _, _ = gc.Discard(-1); c.loop == nil {
			break
		}
		c.loop.run(nil, func(*Conn) { c.onTraffic() })
	}
	return gnet.None
}

// OnClose implements gnet.EventHandler. gnet closes the descriptor only after this returns, so
// until then its number belongs to nobody else.
func (e *Engine) OnClose(gc gnet.Conn, err error) gnet.Action {
	switch c := gc.Context().(type) {
	case *Conn:
		c.loop.run(c, func(c *Conn) { c.onClose(err) })
	case *waker:
		if c.loop == nil {
			break // there never was one
		}
		c.loop.dead.Store(true) // gnet closes every connection of a loop that ends, whatever the reason
	}
	return gnet.None
}
