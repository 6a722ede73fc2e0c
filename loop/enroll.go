package loop

import (
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// arrival is a connection on its way to a loop. Accepting does not wait for the loop: the watchdog
// looks after arrivals.
type arrival struct {
	loop  *Loop
	conn  *Conn
	nc    net.Conn // closed by gnet when the loop has taken a duplicate of it
	since time.Time
	done  <-chan gnet.RegisteredResult
}

var (
	errNoLoop    = errors.New("agloop: no loop is left to take connections")
	errNotTaken  = errors.New("agloop: the loop could not take the connection")
	errLoopStuck = errors.New("agloop: the loop did not take the connection in time")
)

// carrier is a Conn as the context that hands it to gnet, which asks for nothing but its value.
// gnet's own way would keep one more object for each connection.
type carrier Conn

func (*carrier) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*carrier) Done() <-chan struct{}       { return nil }
func (*carrier) Err() error                  { return nil }
func (c *carrier) Value(any) any             { return (*Conn)(c) }

// enroll puts nc on its way to the usable loop with the fewest connections, as c. nc is closed in
// any case.
func (e *Engine) enroll(nc net.Conn, c *Conn) (*arrival, error) {
	e.enrolls.RLock()
	defer e.enrolls.RUnlock()
	return e.enrollLocked(nc, c)
}

// enrollLocked is enroll under enrolls.
func (e *Engine) enrollLocked(nc net.Conn, c *Conn) (*arrival, error) {
	if e.closed {
		nc.Close()
		return nil, ErrEngineClosed
	}
	l := e.pick()
	if l == nil {
		nc.Close()
		return nil, errNoLoop
	}
	ownZones(nc)
	done, err := l.el.Enroll((*carrier)(c), nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	l.conns.Add(1)
	l.coming.Add(1)
	return &arrival{l, c, nc, time.Now(), done}, nil
}

// enrollWatched is enroll for who does not wait for the loop. The watchdog knows the arrival before
// Stop can look for those that are on their way.
func (e *Engine) enrollWatched(nc net.Conn, c *Conn) error {
	e.enrolls.RLock()
	defer e.enrolls.RUnlock()
	a, err := e.enrollLocked(nc, c)
	if err == nil {
		a.watch()
	}
	return err
}

// ownZones gives the addresses of nc zones of their own. When a connection ends gnet lends the
// bytes of its IPv6 zones to others, and they are those of a string that package net keeps.
func ownZones(nc net.Conn) {
	for _, addr := range []net.Addr{nc.LocalAddr(), nc.RemoteAddr()} {
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.Zone != "" {
			tcp.Zone = strings.Clone(tcp.Zone)
		}
	}
}

// pick is the usable loop with the fewest connections; if none is usable, one that may be so again;
// nil if all ended.
func (e *Engine) pick() (best *Loop) {
	better := func(l *Loop) bool {
		switch {
		case best == nil || l.usable() != best.usable():
			return best == nil || l.usable()
		default:
			return l.conns.Load() < best.conns.Load()
		}
	}
	for _, l := range e.all() {
		if !l.dead.Load() && better(l) {
			best = l
		}
	}
	return best
}

// await waits until the loop has the connection, until the timer fires, which is errLoopStuck, or
// until it is lost.
func (a *arrival) await(timer *time.Timer) error {
	select {
	case r := <-a.done:
		return a.judge(r.Err)
	case <-timer.C:
		return errLoopStuck
	}
}

// judge returns what became of an arrival that is over: gnet reports success also when it could not
// watch the descriptor.
func (a *arrival) judge(err error) error {
	if err == nil && !a.conn.marked(markOpened) {
		err = errNotTaken
	}
	if err != nil {
		a.loop.conns.Add(-1)
		a.loop.coming.Add(-1)
	}
	return err
}

// watch has the watchdog look after an arrival. Any goroutine.
func (a *arrival) watch() {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	a.loop.arrivals = append(a.loop.arrivals, a)
}

// checkArrivals looks after the arrivals of the loop. It is the watchdog's.
func (l *Loop) checkArrivals() {
	l.mu.Lock()
	list := l.arrivals
	l.arrivals = l.arrivalsSpare[:0]
	l.mu.Unlock()
	for _, a := range list {
		if !a.over() {
			a.watch()
		}
	}
	clear(list)
	l.arrivalsSpare = list
}

// over reports whether an arrival needs no looking after any more. It is taken away from a loop
// that is blocked, if another can have it. If none can, its slot is freed and its connection shut
// when its handshake is overdue, though the loop learns of that only later.
func (a *arrival) over() bool {
	select {
	case r := <-a.done:
		if err := a.judge(r.Err); err != nil && !a.conn.marked(markAbandoned) {
			a.conn.lost(err)
		}
		return true
	default:
	}
	limit := a.conn.endpoint.limits.HandshakeTimeout
	switch {
	case a.conn.marked(markAbandoned): // it is somebody else's
		return a.loop.dead.Load()
	case a.conn.marked(markOpened): // its loop is in its first callback
	case !a.loop.usable() && a.loop.eng.pick().usable():
		a.reroute()
	case limit > 0 && time.Since(a.since) > limit && a.conn.abandon():
		if h, ok := a.nc.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite() // the loop's duplicate keeps the socket open
		}
		a.conn.lost(errLoopStuck)
	}
	return false
}

// reroute gives the connection to another loop.
func (a *arrival) reroute() {
	nc, err := duplicate(a.nc)
	if err != nil {
		return // it is asked again
	}
	if !a.conn.abandon() { // its loop has opened it this moment
		nc.Close()
		return
	}
	c := &Conn{endpoint: a.conn.endpoint, id: a.conn.id, user: a.conn.user, transient: a.conn.transient}
	c.marks.Store(a.conn.marks.Load() & (markIn | markLoopback | markAwaitsToken | markResponse))
	if again, err := a.loop.eng.enroll(nc, c); err != nil {
		c.lost(err)
	} else {
		again.since = a.since
		again.watch()
	}
}

// duplicate makes a second connection of nc's socket.
func duplicate(nc net.Conn) (net.Conn, error) {
	file, ok := nc.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errNotTaken
	}
	f, err := file.File()
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn works on a duplicate
	return net.FileConn(f)
}

// abandon gives up a connection that no loop has opened yet. It reports whether that was so.
func (c *Conn) abandon() bool {
	for {
		marks := c.marks.Load()
		if marks&markOpened != 0 {
			return false
		}
		if c.marks.CompareAndSwap(marks, marks|markAbandoned) {
			return true
		}
	}
}

// awaitArrivals waits until no connection is on its way to a loop: gnet would never answer for one
// that comes when its loop has ended.
func (e *Engine) awaitArrivals() {
	timer := time.NewTimer(lateAfter)
	defer timer.Stop()
	for _, l := range e.all() {
		l.mu.Lock()
		list := l.arrivals
		l.arrivals = nil
		l.mu.Unlock()
		for _, a := range list {
			if err := a.await(timer); err == errLoopStuck {
				return
			}
		}
	}
}
