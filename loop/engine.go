package loop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/metrics"
	"github.com/panjf2000/gnet/v2"
)

// Engine is a set of loops. Connections come in by Enroll, from an accept
// goroutine or a dial, and each stays on one loop until it closes.
type Engine struct {
	gnet.BuiltinEventEngine

	// Immutable.
	client *gnet.Client
	log    *slog.Logger
	start  time.Time
	loops  []*Loop

	// Any goroutine.
	skew    atomic.Int64 // tests move the clock by it
	wakeGap atomic.Int64 // nanoseconds, see SetWakeGap
	piling  atomic.Pointer[func()]
	enrolls sync.RWMutex // held for reading while enrolling: an Enroll on stopped loops would never return
	closed  bool         // under enrolls
}

// NewEngine starts loops event loops; 0 is one less than GOMAXPROCS, at least
// one: with a busy loop on every P, the scheduler's monitor takes the P away in
// every system call. A nil log is slog.Default.
func NewEngine(loops int, log *slog.Logger) (*Engine, error) {
	if loops <= 0 {
		loops = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if log == nil {
		log = slog.Default()
	}
	// Started an hour ago, so that zero, the time of what never happened, is long past.
	e := &Engine{log: log, start: time.Now().Add(-time.Hour)}
	client, err := gnet.NewClient(e,
		gnet.WithNumEventLoop(loops),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithReadBufferCap(readBuffer),
		gnet.WithLogger(gnetLog{log}),
	)
	if err != nil {
		return nil, err
	}
	e.client = client
	if err := client.Start(); err != nil {
		return nil, err
	}
	for range loops {
		l, err := e.hang()
		if err != nil {
			return nil, errors.Join(err, e.Stop())
		}
		e.loops = append(e.loops, l)
	}
	return e, nil
}

// Loops is the number of event loops.
func (e *Engine) Loops() int { return len(e.loops) }

// Stop closes every connection at once and ends the loops. It is safe to call
// twice; it must not be called on a loop.
func (e *Engine) Stop() error {
	e.enrolls.Lock()
	done := e.closed
	e.closed = true
	e.enrolls.Unlock()
	if done {
		return nil
	}
	err := e.client.Stop()
	for _, l := range e.loops {
		l.stop()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// AddTo adds the counters of all loops to s.
func (e *Engine) AddTo(s *metrics.Snapshot) {
	for _, l := range e.loops {
		l.Counters.AddTo(s)
	}
}

// enroll puts nc on a loop as c and returns when that loop has opened it. nc is
// closed in any case: the loop works on a duplicate of its descriptor.
func (e *Engine) enroll(nc net.Conn, c *Conn) error {
	e.enrolls.RLock()
	defer e.enrolls.RUnlock()
	if e.closed {
		nc.Close()
		return ErrEngineClosed
	}
	if _, err := e.client.EnrollContext(nc, c); err != nil {
		return err
	}
	if !c.marked(isOpened) {
		// gnet reports success when it could not watch the descriptor.
		return errors.New("agloop: the loop could not take the connection")
	}
	return nil
}

// now is the monotonic clock in nanoseconds; never near zero.
func (e *Engine) now() int64 { return int64(time.Since(e.start)) + e.skew.Load() }

// loopOf finds our loop for gnet's. There are few.
func (e *Engine) loopOf(el gnet.EventLoop) *Loop {
	for _, l := range e.loops {
		if l.el == el {
			return l
		}
	}
	return nil
}

// OnOpen implements gnet.EventHandler.
func (e *Engine) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	switch c := gc.Context().(type) {
	case *Conn:
		c.enter(e.loopOf(gc.EventLoop()), gc)
	case *bell:
		c.enter(e, gc)
	}
	return nil, gnet.None
}

// OnTraffic implements gnet.EventHandler.
func (e *Engine) OnTraffic(gc gnet.Conn) gnet.Action {
	switch c := gc.Context().(type) {
	case *Conn:
		c.traffic()
	case *bell:
		c.heard(gc)
	}
	return gnet.None
}

// OnClose implements gnet.EventHandler. gnet closes the descriptor only after
// this returns, so until then its number belongs to nobody else.
func (e *Engine) OnClose(gc gnet.Conn, err error) gnet.Action {
	if c, ok := gc.Context().(*Conn); ok {
		c.gone(err)
	}
	return gnet.None
}
