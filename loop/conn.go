package loop

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/panjf2000/gnet/v2"
)

// Conn is one WebSocket connection on a loop. Send, Close, SetBusy, ID and Full may be called from
// any goroutine, also after the connection is gone; the others say where.
type Conn struct {
	// Immutable once the handler has been told of the connection.
	endpoint *Endpoint
	loop     *Loop
	fd       int32

	// This loop; it stands here because here it costs nothing.
	state state

	// Any goroutine, under mu. With the fields above and below this is the one cache line that Send
	// needs.
	outFlags outFlags
	code     frame.CloseCode // why we close; 0: not closing
	mu       sync.Mutex
	out      atomic.Pointer[outbox] // what waits; nil while nothing does. Written under mu, read anywhere
	flushed  uint32                 // when it was last written, in microseconds of the clock, for the batch window

	// Any goroutine.
	holds atomic.Int32  // bytes that it holds, by capacity, see Hold
	marks atomic.Uint32 // bits, see markOpened
	used  atomic.Uint32 // tick of the last message received, or at which the last run ended; running while one is active

	// This loop.
	due       uint32     // tick at which the wheel brings us up; 0: not in it
	heard     uint32     // tick of the last byte received, or of the ping since (loopPinged)
	transient *transient // what is under way, in or out; nil at rest
	links     wheelLinks // in the timer wheel
	user      any        // of the host's, or the entry that holds it

	// Immutable once the handler has been told of the connection.
	id   ID // zero for a dialled connection
	sock gnet.Conn
}

// Bits of marks.
const (
	markOpened      uint32 = 1 << iota // a loop has it
	markAbandoned                      // it was given up before one had it: who did so has the slot
	markIn                             // it was let in: its door counts it
	markLoopback                       // its listener can be reached from this machine alone
	markCorked                         // the loop is handling its bytes and will flush at the end
	markReplying                       // replies of this turn wait in the loop's cork, and must leave before what is in out
	markEnding                         // Close was called: no more messages to the handler
	markHolder                         // on its loop's list of holders
	markGone                           // the loop is done with it
	markAwaitsToken                    // nobody knows whose it is, see AwaitsToken
	markPresents                       // Authorize is asked about a token, or has just been
	markLayers                         // c.sock is a *layers; it changes while the loop alone has the connection
	markResponse                       // it carries a response of HTTP instead of frames, see response.go
	markFed                            // a Feed delivers to it
	markPaused                         // the host wants no messages, see PauseReading

	// Of this loop alone.
	loopAnnounced  // OnOpen was called, so OnClose is owed
	loopPinged     // a ping is unanswered
	loopPeerDone   // the peer's close frame has come
	loopAwaitsPong // a ping of ours had no pong yet, whatever else came
	loopMuted      // it is not read, and what came nevertheless is kept
	loopLast       // the peer has gone: what it had sent is delivered, paused or not
)

func (c *Conn) marked(bit uint32) bool { return c.marks.Load()&bit != 0 }

type state uint8

const (
	securing    state = iota // the TLS handshake is awaited, or under way
	handshaking              // the opening handshake is awaited
	judging                  // Authorize is asked; what arrives is kept
	open                     // messages flow
	closing                  // our close frame is queued, the peer's is awaited
	draining                 // the peer's messages no longer matter; what is queued still leaves
	lingering                // our side is shut down; the peer's end is awaited
	closed                   // gnet has let go of the descriptor
)

type outFlags uint8

const (
	outDirty   outFlags = 1 << iota // on the loop's dirty list
	outDelayed                      // on the loop's delayed list
	outFull                         // Send answered Backpressure; OnDrain is owed
	outClosing                      // nothing more may be queued
	outCut                          // close without waiting for the peer; outClosing as well
	outSingle                       // the last write carried one frame
	outWatched                      // the poller knows the descriptor
	outAwaited                      // Deliver answered Backpressure; Feed.Room is owed
)

// ID names the connection for ever, see Slots. Dialled connections have none.
func (c *Conn) ID() ID { return c.id }

// RemoteAddr is the peer's address. On the loop, in callbacks; nil in OnClose and after.
func (c *Conn) RemoteAddr() net.Addr {
	if c.state == closed {
		return nil
	}
	return c.sock.RemoteAddr()
}

// running in place of a tick: a run is active.
const running = math.MaxUint32

// SetBusy notes whether a run is active. The idle limit does not count meanwhile, and counts from
// the end of the run. Any goroutine.
func (c *Conn) SetBusy(busy bool) {
	if busy {
		c.used.Store(running)
	} else {
		c.used.Store(c.loop.nowTick())
	}
}

// touch notes a message of the peer.
func (c *Conn) touch() {
	if now, v := c.loop.wheel.now, c.used.Load(); v < now { // not while running
		c.used.CompareAndSwap(v, now)
	}
}

// onOpen takes c onto its loop. It is gnet's OnOpen. It reports whether c is still wanted there.
func (c *Conn) onOpen(l *Loop, sock gnet.Conn) bool {
	l.owner.check()
	l.coming.Add(-1)
	c.loop, c.sock, c.fd = l, sock, int32(sock.Fd())
	c.heard = l.wheel.now
	if c.marks.Or(markOpened)&markAbandoned != 0 {
		return false
	}
	if d := c.endpoint.door; d != nil {
		c.flushed = micros(l.eng.now()) // until the handshake is done: when it began
		d.slots.bind(c)
		if d.stopped() && !IsResponse(c) { // after bind: who closes those of a door that stopped finds c, or c finds that it stopped
			return false
		}
		if c.transient == nil {
			if d.tls == nil {
				c.state = handshaking
			}
			l.setDeadline(c, c.handshakeDeadline())
			return true
		}
	}
	c.turn(c.openWithHead)
	return true
}

// openWithHead makes a WebSocket of a connection whose handshake was done elsewhere.
func (c *Conn) openWithHead() {
	h := c.transient // the response that is still to be sent, and what the peer has sent already
	c.transient = nil
	if h == nil {
		c.established()
		return
	}
	if h.link != nil {
		c.addLink(h.link)
	}
	c.addAgreed(h)
	if h.response != nil && !c.putRaw(h.response) {
		c.closeNow()
	} else {
		c.established()
		if h.head != nil {
			c.receivePlain(h.head.B)
		}
		if c.state != closed && h.link != nil {
			c.receive(nil) // what came already and crypto/tls may hold
		}
	}
	h.free()
}

// established makes the connection a WebSocket and tells the handler.
func (c *Conn) established() {
	c.loop.owner.check()
	l := c.loop
	if h := c.transient; h != nil {
		c.addAgreed(h)
	}
	c.state = open
	c.marks.Or(loopAnnounced)
	now := l.eng.now()
	c.heard = tickOf(now)
	c.used.Store(c.heard)
	l.Counters.Opened.Add(1)
	c.mu.Lock()
	began := c.lastFlush(now)
	c.flushed = micros(now - longAgo)
	c.outFlags |= outSingle
	c.mu.Unlock()
	if m := l.measures.Load(); m != nil && c.endpoint.masks == nil {
		m.Established(time.Duration(now - began))
	}
	c.beginLater()
	l.setDeadline(c, c.nextDeadline())
	c.endpoint.handler.OnOpen(c)
}

// onTraffic handles bytes that arrived. It is gnet's OnTraffic.
func (c *Conn) onTraffic() {
	l := c.loop
	l.owner.check()
	view, _ := c.sock.Next(-1)
	if len(view) == 0 {
		return
	}
	l.Counters.BytesIn.Add(uint64(len(view)))
	c.heard = l.wheel.now
	if c.marked(loopPinged) {
		c.marks.And(^loopPinged)
		if c.transient != nil {
			c.transient.behind = false
		}
		c.deadlineBy(c.nextDeadline())
	}
	c.turn(func() { c.receive(view) })
}

// turn does the work of one callback of gnet on c. What that sends leaves in one write at the end,
// and a panic in it ends this connection alone.
func (c *Conn) turn(work func()) {
	l := c.loop
	l.beginTurn()
	c.runCorked(work)
	if c.state != closed {
		c.flush(0)
	}
	l.endCork()
	l.endTurn()
}

// runCorked runs a callback of the handler whose messages wait for each other. The caller flushes
// them, and calls Loop.endCork.
func (c *Conn) runCorked(work func()) {
	c.loop.owner.check()
	l := c.loop
	if l.gathered.Load() != 0 {
		l.gathered.Store(0)
	}
	l.overSoft = false
	l.corked = c
	c.marks.Or(markCorked)
	c.guard(work)
}

// guard runs a callback of the handler. A panic in it ends the connection.
func (c *Conn) guard(work func()) {
	defer func() {
		if r := recover(); r != nil {
			c.panicked(r)
		}
	}()
	work()
}

// onClose is the last thing that happens on a connection. It is gnet's OnClose. The descriptor is
// still ours until it returns.
func (c *Conn) onClose(err error) {
	l := c.loop
	l.owner.check()
	if err != nil && c.marked(loopMuted) && c.state == open {
		c.receiveLast()
	}
	c.state = closed
	l.conns.Add(-1)
	if c.marked(markAbandoned) {
		return // who gave it up has all that was its own, and may have put that on another loop
	}
	defer c.notifyClosed(c.closeError(err)) // whatever goes wrong before it
	l.setDeadline(c, 0)
	c.closeOutbox(err)
	c.dropTransient()
	l.holders.remove(c)
	c.endLater()
	delete(l.inflows, c)
}

// notifyClosed gives the slot back and tells the handler.
func (c *Conn) notifyClosed(why *CloseError) {
	if d := c.endpoint.door; d != nil {
		c.leave()
		d.slots.Release(c.id)
	}
	if c.marked(markFed) {
		c.endpoint.feed.Lost(c)
	}
	if c.marked(loopAnnounced) {
		c.loop.Counters.Closed.Add(1)
		c.guard(func() { c.endpoint.handler.OnClose(c, why) })
	} else {
		c.lostResponse()
	}
}

// closeOutbox ends the outbox of a connection that is gone. When only the peer has ended, it may
// still read what the kernel takes now.
func (c *Conn) closeOutbox(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loop.poller.forget(c)
	if o := c.out.Load(); o != nil && !o.blocked && err != nil && c.outFlags&outCut == 0 {
		_, _ = c.writeQueue(o, maxWrite)
	}
	c.outFlags |= outClosing // the lists that hold it find nothing to do
	c.dropOutbox()
	if ly := c.layers(); ly != nil {
		ly.release()
		c.Hold(-ly.deflating.forget())
	}
}
