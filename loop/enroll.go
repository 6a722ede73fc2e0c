package loop

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// arrival is a connection on its way to a loop that does not take it.
type arrival struct {
	loop  *Loop
	conn  *Conn
	nc    net.Conn
	since time.Time
	done  <-chan gnet.RegisteredResult
}

// enrollWait is how long accepting waits for a loop to take a connection. From one that is busy for longer the connection
// is taken away again, if another loop can have it; if not, the watchdog looks after it.
const enrollWait = 100 * time.Millisecond

var (
	errNoLoop    = errors.New("agloop: no loop is left to take connections")
	errNotTaken  = errors.New("agloop: the loop could not take the connection")
	errLoopStuck = errors.New("agloop: the loop did not take the connection in time")
)

// enroll puts nc on the usable loop with the fewest connections, as c, and waits until that loop has opened it, at most
// until the timer fires: the arrival tells then where it is. nc is closed in any case: the loop works on a duplicate of
// its descriptor.
func (e *Engine) enroll(nc net.Conn, c *Conn, wait *time.Timer) (*arrival, error) {
	e.enrolls.RLock()
	defer e.enrolls.RUnlock()
	if e.closed {
		nc.Close()
		return nil, ErrEngineClosed
	}
	l := e.pick()
	if l == nil {
		nc.Close()
		return nil, errNoLoop
	}
	done, err := l.el.Enroll(gnet.NewContext(context.Background(), c), nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	l.conns.Add(1)
	select {
	case r := <-done:
		return nil, l.arrived(c, r.Err)
	case <-wait.C:
		l.late.CompareAndSwap(0, int64(enrollWait)) // the watchdog may not have noticed yet
		return &arrival{l, c, nc, time.Now(), done}, nil
	}
}

// reroute takes a connection away from a loop that does not take it and gives it to others, until one has it or none is
// usable. The arrival is not nil if it is still on its way.
func (e *Engine) reroute(a *arrival, wait *time.Timer) (*arrival, error) {
	for a != nil && e.pick().usable() {
		nc, err := duplicate(a.nc)
		if err != nil {
			return a, err
		}
		if !a.conn.abandon() { // the loop has opened it this moment
			nc.Close()
			return a, nil
		}
		a.loop.expect(a)
		c := &Conn{door: a.conn.door, id: a.conn.id}
		wait.Reset(enrollWait)
		if a, err = e.enroll(nc, c, wait); err != nil {
			return nil, err
		}
	}
	return a, nil
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

// arrived judges what gnet says of an enrolled connection: it reports success when it could not watch the descriptor.
func (l *Loop) arrived(c *Conn, err error) error {
	if err == nil && !c.marked(isOpened) {
		err = errNotTaken
	}
	if err != nil {
		l.conns.Add(-1)
	}
	return err
}

// pick is the usable loop with the fewest connections; if none is usable, one that may be so again; nil if all ended.
func (e *Engine) pick() (best *Loop) {
	better := func(l *Loop) bool {
		switch {
		case best == nil || l.usable() != best.usable():
			return best == nil || l.usable()
		default:
			return l.conns.Load() < best.conns.Load()
		}
	}
	for _, l := range e.loops {
		if !l.dead.Load() && better(l) {
			best = l
		}
	}
	return best
}

// expect has the watchdog look after a connection that the loop did not take in time.
func (l *Loop) expect(a *arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals = append(l.arrivals, a)
}

// chase looks after the connections that the loop did not take in time. One whose handshake is overdue is hung up on, and
// its slot is free, though the loop has yet to find out.
func (l *Loop) chase() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals = slices.DeleteFunc(l.arrivals, func(a *arrival) bool {
		select {
		case r := <-a.done:
			if err := l.arrived(a.conn, r.Err); err != nil && !a.conn.marked(isAbandoned) {
				a.conn.door.lost(a.conn, err)
			}
			return true
		default:
		}
		limit := a.conn.door.limits.HandshakeTimeout
		if limit > 0 && time.Since(a.since) > limit && !a.conn.marked(isAbandoned) && a.conn.abandon() {
			if h, ok := a.nc.(interface{ CloseWrite() error }); ok {
				_ = h.CloseWrite() // the loop's duplicate keeps the socket open
			}
			a.conn.door.lost(a.conn, errLoopStuck)
		}
		return false
	})
}

// abandon gives up a connection that no loop has opened yet. False means that one has.
func (c *Conn) abandon() bool { return c.marks.Or(isAbandoned)&isOpened == 0 }
