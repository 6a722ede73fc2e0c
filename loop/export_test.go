package loop

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/metrics"
)

// Writes is the number of write calls so far on its loops.
func (e *Engine) Writes() uint64 {
	var s metrics.Snapshot
	e.AddTo(&s)
	return s.Writes
}

// BytesIn is the number of bytes read so far by its loops.
func (e *Engine) BytesIn() uint64 {
	var s metrics.Snapshot
	e.AddTo(&s)
	return s.BytesIn
}

// Advance moves the engine's clock forward, as if d had passed.
func (e *Engine) Advance(d time.Duration) {
	e.skew.Add(int64(d))
	e.wakeAll()
}

// HoldRefusals takes the whole reserve of refusals until release is called.
func (d *Door) HoldRefusals() (release func()) {
	for range cap(d.refusalTokens) {
		d.refusalTokens <- struct{}{}
	}
	return func() {
		for range cap(d.refusalTokens) {
			<-d.refusalTokens
		}
	}
}

// Waiting is how many requests wait for Authorize to be asked.
func (d *Door) Waiting() int {
	d.judges.mu.Lock()
	defer d.judges.mu.Unlock()
	return len(d.judges.waiting)
}

// Judging is how many judges ask Authorize, or are about to.
func (d *Door) Judging() int {
	d.judges.mu.Lock()
	defer d.judges.mu.Unlock()
	return d.judges.running
}

// Networks are what AcceptsPerIP counts.
type Networks struct{ n networks }

// NewNetworks returns none yet, of the given rate each.
func NewNetworks(perSecond float64, burst int) *Networks {
	return &Networks{networks{perSecond: perSecond, burst: burst}}
}

// Allow is what a connection from addr asks at that time.
func (n *Networks) Allow(addr netip.Addr, now time.Time) bool {
	return n.n.allow(addr, now)
}

// Spent tells whether the network of addr has no token left at that time.
func (n *Networks) Spent(addr netip.Addr, now time.Time) bool { return n.n.spent(addr, now) }

// Knows tells whether the network of addr is remembered.
func (n *Networks) Knows(addr netip.Addr) bool { return n.n.seen[NetworkOf(addr)] != nil }

// Len is how many are remembered, at most MaxNetworks.
func (n *Networks) Len() int { return len(n.n.seen) }

// MaxNetworks bounds the networks that are remembered.
const MaxNetworks = maxNetworks

// Late is the number of its loops that a handler blocks.
func (e *Engine) Late() (n int) {
	for _, l := range e.all() {
		if l.late.Load() != 0 {
			n++
		}
	}
	return n
}

// Held is what its ledger says.
func (e *Engine) Held() int64 { return e.ledger.Total() }

// Pinged is the number of connections that owe an answer to a ping, among those that hold much.
func (e *Engine) Pinged() (n int) {
	for _, l := range e.all() {
		l.holders.mu.Lock()
		for c := range l.holders.conns {
			if c.marked(loopPinged) {
				n++
			}
		}
		l.holders.mu.Unlock()
	}
	return n
}

// Blocked is the number of entries in its pollers.
func (e *Engine) Blocked() (n int) {
	for _, l := range e.all() {
		n += len(l.poller.blocked(nil))
	}
	return n
}

// CutOff is what shedding does to a connection.
func (c *Conn) CutOff() { c.cutOff(frame.CloseTryLater) }

// AtRest tells whether nothing is under way on c. On the loop.
func (c *Conn) AtRest() bool { return c.transient == nil }

// Abandon is what the watchdog does to a connection that no loop takes.
func (c *Conn) Abandon() bool { return c.abandon() }

// NewDoorWithDefaults is NewDoor for a config whose zeros are still to be replaced.
func (e *Engine) NewDoorWithDefaults(cfg DoorConfig) (d *Door, err error) {
	if cfg.Limits, err = cfg.Limits.WithDefaults(); err != nil {
		return nil, err
	}
	if cfg.Rates.Control == 0 {
		cfg.Rates.Control = -1 // tests send as many pings as they like
	}
	if cfg.Rates, err = cfg.Rates.WithDefaults(cfg.Limits); err != nil {
		return nil, err
	}
	return e.NewDoor(cfg), nil
}

// Dial dials with an endpoint of its own, for a config whose zeros are still to be replaced.
func (e *Engine) Dial(ctx context.Context, nc net.Conn, host string, cfg EndpointConfig) (*Conn, error) {
	limits, err := cfg.Limits.WithDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Limits = limits
	c, _, err := e.NewDialer(cfg).Dial(ctx, nc, DialConfig{
		URL: "ws://" + host, Request: handshake.DialRequest{Host: host},
	})
	return c, err
}

// What a door does with its slots.
func NewSlots(n int) *Slots            { return newSlotTable(n, 0) }
func NewSlotTable(n, heads int) *Slots { return newSlotTable(n, heads) }
func (s *Slots) Admit() bool           { return s.admit() }
func (s *Slots) SetCap(n int)          { s.setCap(n) }

// Acknowledged is how many bytes the peer of c has acknowledged.
func Acknowledged(c *Conn) uint64 { return acknowledged(int(c.fd)) }

// Looked waits until every loop has looked at what is due.
func (e *Engine) Looked(ctx context.Context) {
	for _, l := range e.all() {
		for l.timeUp.Load() && ctx.Err() == nil {
			runtime.Gosched()
		}
	}
}

// NoHeads leaves no slots for requests that are only read: what finds no slot is turned away by the
// accept goroutine. Before Accept.
func (d *Door) NoHeads() { d.slots.heads = 0 }

// ErrTruncated is why a connection of TLS that was cut has ended.
var ErrTruncated = errTruncated

// SetMaxHandshakes changes how many TLS handshakes may be under way, until undo is called.
func SetMaxHandshakes(n int) (undo func()) {
	was := maxHandshakes
	maxHandshakes = n
	return func() { maxHandshakes = was }
}

// StalledAfter is how long one may wait for its client while others wait.
const StalledAfter = stalledAfter

// HandshakesWaiting is how many wait for their turn.
func (d *Door) HandshakesWaiting() int {
	d.handshakes.mu.Lock()
	defer d.handshakes.mu.Unlock()
	return len(d.handshakes.waiting)
}

// Ahead is what is encrypted and not written, of its blocked connections.
func (e *Engine) Ahead() (n int) {
	for _, l := range e.all() {
		for _, c := range l.poller.blocked(nil) {
			if ly := c.layers(); ly != nil {
				n += ly.out.size()
			}
		}
	}
	return n
}

// Remembered is what is kept of the last messages of connections that compress theirs.
func Remembered(conns ...*Conn) map[any]bool {
	kept := map[any]bool{}
	for _, c := range conns {
		c.mu.Lock()
		if last := c.layers().deflating.last; last != nil {
			kept[last] = true
		}
		c.mu.Unlock()
	}
	return kept
}

// ForgetEpoll has loops that start from now on read on whatever is paused, as where gnet's poller cannot be
// told, until undo is called.
func ForgetEpoll() (undo func()) {
	epollOf = func(int) int { return -1 }
	return func() { epollOf = findEpoll }
}

// ReadBuffer is what one read takes at most, and MaxKept what is kept where reading goes on.
const (
	ReadBuffer = readBuffer
	MaxKept    = maxKept
)
