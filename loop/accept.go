package loop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/agloop/agloop/tune"
)

// Accept takes connections from ln until it is closed, and returns its error then. Nothing else
// ends it: when accepting fails it waits, from 5 ms doubling to 1 s, and goes on, and connections
// already here do not notice.
func (d *Door) Accept(ln net.Listener) error {
	refused := newTurnaways(d)
	defer refused.end()
	burst := newBurst()
	defer burst.timer.Stop()
	timer := time.NewTimer(lateAfter)
	defer timer.Stop()
	files := fileLimit()
	spare := spareFile{}
	defer spare.close()
	loopback := isLoopback(ln.Addr())
	var addrs addresses
	var pause time.Duration
	for {
		if d.accepts != nil && !d.pause(d.accepts.Reserve().Delay()) { // the backlog waits
			return net.ErrClosed
		}
		// A descriptor is held back while waiting, so that a connection is never accepted on the
		// last one: handing it to a loop needs a second.
		err := spare.reserve()
		var nc net.Conn
		if err == nil {
			nc, err = ln.Accept()
			spare.free()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			pause = backOff(pause)
			d.Counters.AcceptErrs.Add(1)
			d.log.LogAttrs(context.Background(), slog.LevelWarn, "agloop: cannot accept",
				slog.Any("err", err), slog.Duration("retry_in", pause))
			if !d.pause(pause) {
				return net.ErrClosed
			}
			continue
		}
		pause = 0
		if !fits(nc) {
			d.Counters.AcceptErrs.Add(1)
			d.log.Error("agloop: a listener gave a connection that no loop can take", "type", fmt.Sprintf("%T", nc))
			nc.Close()
			continue
		}
		burst.count()
		addrs.shrink(nc)
		d.place(nc, refused, loopback, spare.fd >= files/2, timer)
	}
}

// CheckListener returns a *tune.ConfigError, which names its type, for a listener whose connections
// no loop can take: one that is neither TCP nor unix, or that wraps one.
func CheckListener(ln net.Listener) error {
	if _, ok := ln.(syscall.Conn); ok { // those of package net, and what embeds them
		switch ln.Addr().(type) {
		case *net.TCPAddr, *net.UnixAddr:
			return nil
		}
	}
	return &tune.ConfigError{Field: "Listener", Reason: fmt.Sprintf(
		"a %T gives connections that no loop can take; listen with a *net.TCPListener or *net.UnixListener", ln,
	)}
}

// fits reports whether a loop can take nc.
func fits(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// isLoopback reports whether what listens on addr can be reached from this machine alone.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// StopAccepting lets nobody in any more: it ends the pauses of Accept, while closing the listener
// ends the rest, and what is on its way to a loop is closed when it gets there. Any goroutine.
func (d *Door) StopAccepting() {
	d.quitOnce.Do(func() {
		close(d.quit)
		d.endBase()
	})
}

// stopped reports whether StopAccepting was called. Any goroutine.
func (d *Door) stopped() bool {
	select {
	case <-d.quit:
		return true
	default:
		return false
	}
}

// pause waits for t. It reports whether accepting goes on.
func (d *Door) pause(t time.Duration) bool {
	if t <= 0 {
		return true
	}
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.quit:
		return false
	}
}

// The bounds of the pause after a failed accept.
const (
	backOffMin = 5 * time.Millisecond
	backOffMax = time.Second
)

func backOff(d time.Duration) time.Duration {
	if d == 0 {
		return backOffMin
	}
	return min(2*d, backOffMax)
}

// place gives a fresh connection a slot and a loop, or has it refused. It waits until the loop has
// the connection while descriptors are scarce, because until then the connection takes two of them,
// and while many connections are on their way.
func (d *Door) place(nc net.Conn, refused *turnaways, loopback, scarce bool, timer *time.Timer) {
	if d.shedding.Load() && d.slots.outside() >= d.slots.heads {
		d.refused.memory.Add(1)
		refused.turnAway(nc, pressureResponse)
		return
	}
	if peer := addrPort(nc.RemoteAddr()); !d.behindProxy(peer) && !d.networks.allow(peer.Addr(), time.Now()) {
		d.refused.address.Add(1)
		refused.turnAway(nc, networkResponse)
		return
	}
	id, ok := d.slots.Acquire()
	if !ok {
		d.refused.slots.Add(1)
		refused.turnAway(nc, fullResponse)
		return
	}
	c := &Conn{endpoint: &d.Endpoint, id: id}
	if loopback {
		c.marks.Store(markLoopback)
	}
	a, err := d.eng.enroll(nc, c)
	if err != nil {
		c.lost(err)
		return
	}
	if !scarce && a.loop.coming.Load() <= maxComing {
		a.watch()
		return
	}
	timer.Reset(lateAfter)
	defer timer.Stop()
	if err := a.await(timer); err == errLoopStuck {
		a.watch()
	} else if err != nil {
		c.lost(err)
	}
}

// maxComing is how many connections may be on their way to a loop before accepting waits for it:
// each costs a goroutine meanwhile, whose stack would stay for some seconds after a burst.
const maxComing = 4

// lost gives up a connection that no loop has taken. Had one, it would have released the slot.
func (c *Conn) lost(err error) {
	if d := c.endpoint.door; d != nil && d.slots.Release(c.id) {
		c.leave()
		d.Counters.AcceptErrs.Add(1)
		d.log.Warn("agloop: connection lost on its way to a loop", "err", err)
		c.lostResponse()
	}
}

// spareFile is a descriptor held back: a duplicate of one that is always open, which is cheaper
// than opening a file for every connection. A program started meanwhile inherits /dev/null, and
// nothing else.
type spareFile struct {
	null     *os.File
	fd       int // the lowest that was free when it was taken
	reserved bool
}

func (s *spareFile) reserve() (err error) {
	if s.null == nil {
		if s.null, err = os.Open(os.DevNull); err != nil {
			return err
		}
	}
	if !s.reserved {
		s.fd, err = syscall.Dup(int(s.null.Fd()))
		s.reserved = err == nil
	}
	return os.NewSyscallError("dup", err)
}

func (s *spareFile) close() {
	s.free()
	if s.null != nil {
		s.null.Close()
	}
}

func (s *spareFile) free() {
	if s.reserved {
		syscall.Close(s.fd)
		s.reserved = false
	}
}

// addresses makes what gnet keeps of a connection smaller. The two addresses of a net.TCPConn each
// hold on to the structure that the kernel filled in, 32 bytes or 64, for the sake of the 4 or 16
// that are the IP address.
type addresses struct {
	local net.IP
	slab  []byte // room for the next ones
}

// shrink replaces the IP addresses of nc by copies that share one slab.
func (a *addresses) shrink(nc net.Conn) {
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	remote := nc.RemoteAddr().(*net.TCPAddr)
	if !a.local.Equal(local.IP) || len(a.local) != len(local.IP) {
		a.local = bytes.Clone(local.IP)
	}
	local.IP = a.local
	n := len(remote.IP)
	if len(a.slab) < n {
		a.slab = make([]byte, 512)
	}
	copy(a.slab, remote.IP)
	remote.IP, a.slab = a.slab[:n:n], a.slab[n:]
}

// burst notices that many connections came and no more do. Accepting leaves garbage, and a server
// whose connections then rest would keep it until the next collection, which at rest is minutes
// away: half of its memory (docs/adr/0006-after-a-burst.md).
type burst struct {
	n     int
	last  time.Time
	timer *time.Timer
}

const (
	burstSize  = 1024            // connections that make a burst
	burstQuiet = 2 * time.Second // without a connection: the burst is over
)

func newBurst() *burst {
	return &burst{timer: time.AfterFunc(math.MaxInt64, debug.FreeOSMemory)}
}

// count notes one accepted connection. Steady churn keeps putting the collection off, which the
// collector then does by itself.
func (b *burst) count() {
	now := time.Now()
	if now.Sub(b.last) > burstQuiet {
		b.n = 0
	}
	b.last = now
	if b.n++; b.n >= burstSize {
		b.timer.Reset(burstQuiet)
	}
}
