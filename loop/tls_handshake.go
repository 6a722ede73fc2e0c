package loop

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/bufpool"
)

// A server's TLS handshake runs in a goroutine of its own, for what crypto/tls meets in it, also
// that nothing has come yet, ends it. The connection is on its loop all the time: that reads, writes
// and keeps the deadline, and has no handshake begun before the first record is whole, so that a
// client that says nothing costs no goroutine. At most 4 × GOMAXPROCS handshakes work at once; one
// that waits for its client lets another one work (docs/adr/0025-tls.md).

// maxHandshakes is how many handshakes may be under way at once; others wait for their turn. Tests set
// it.
var maxHandshakes = 1024

const (
	// stalledAfter is how long a handshake may wait for its client while others wait for their turn.
	stalledAfter = time.Second
	// maxHandshakeIn is how much may have come that a handshake has not read yet, in bytes.
	maxHandshakeIn = 128 << 10
)

// tlsHandshakes are those of one door.
type tlsHandshakes struct {
	// Any goroutine.
	working chan struct{} // holds a token for each that works

	// Any goroutine, under mu.
	mu      sync.Mutex
	running map[*tlsHandshake]struct{}
	waiting []*tlsHandshake
}

func newTLSHandshakes() *tlsHandshakes {
	return &tlsHandshakes{
		working: make(chan struct{}, 4*runtime.GOMAXPROCS(0)),
		running: make(map[*tlsHandshake]struct{}),
	}
}

// tlsHandshake is one of them.
type tlsHandshake struct {
	// Immutable.
	conn   *Conn
	link   *tlsLink
	remote net.Addr // of the client, by what the PROXY protocol says
	local  net.Addr

	// Any goroutine.
	done atomic.Bool // it is over, and err is written

	// Its goroutine until done, then the loop.
	err error

	// Any goroutine, under mu.
	mu    sync.Mutex
	more  sync.Cond       // something came, or it is gone
	in    *bufpool.Buffer // what came
	taken int             // bytes of in that were read
	idle  time.Time       // since when it waits for its client; zero: it does not
	gone  bool            // nobody waits for it any more
}

// newTLSHandshake is the handshake of c, of which the first bytes have come.
func newTLSHandshake(c *Conn, link *tlsLink, first []byte) *tlsHandshake {
	h := &tlsHandshake{conn: c, link: link, in: bufpool.Get(len(first)).Append(first)}
	h.more.L = &h.mu
	// gnet takes its addresses back when the connection ends, which the host's functions may outlast.
	h.remote, h.local = tcpAddr(c.peer()), tcpAddr(addrPort(c.sock.LocalAddr()))
	return h
}

// tcpAddr is a net.Addr of its own, of a unix socket an empty one.
func tcpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// begin starts a handshake or has it wait for its turn. On the loop.
func (s *tlsHandshakes) begin(h *tlsHandshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.running) < maxHandshakes {
		s.running[h] = struct{}{}
		go h.run(s)
		return
	}
	s.waiting = append(s.waiting, h)
	s.endStalled()
}

// endStalled ends the handshake that has waited longest for its client, if that is long. Under mu.
func (s *tlsHandshakes) endStalled() {
	var longest *tlsHandshake
	since := time.Now().Add(-stalledAfter)
	for h := range s.running {
		if idle := h.idleSince(); !idle.IsZero() && idle.Before(since) {
			longest, since = h, idle
		}
	}
	if longest != nil {
		longest.abandon()
	}
}

// next is what is to be done when h is over: the next one that waits, or nil.
func (s *tlsHandshakes) next(h *tlsHandshake) *tlsHandshake {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, h)
	for len(s.waiting) > 0 {
		h, s.waiting[0] = s.waiting[0], nil
		s.waiting = s.waiting[1:]
		if !h.isGone() {
			s.running[h] = struct{}{}
			return h
		}
	}
	return nil
}

// run does h, unless it is nil, and then those that wait.
func (h *tlsHandshake) run(s *tlsHandshakes) {
	for h != nil {
		h.shake(s)
		h = s.next(h)
	}
}

// shake does the handshake, whatever the host's functions in the config do.
func (h *tlsHandshake) shake(s *tlsHandshakes) {
	d := h.conn.endpoint.door
	s.working <- struct{}{}
	h.err = errTLSHandshake
	returned := false
	defer func() {
		p := recover()
		if p != nil {
			d.Counters.Panics.Add(1)
			h.err = fmt.Errorf("%w: panic in a function of the TLS config: %v", errTLSHandshake, p)
			d.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a function of the TLS config",
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
		<-s.working
		h.done.Store(true)
		h.conn.perform(actLoop, 0)
		if !returned && p == nil { // runtime.Goexit ends this goroutine, so another one goes on
			go s.next(h).run(s)
		}
	}()
	// A context that can end would cost one more goroutine; the loop ends the handshake.
	h.err = h.link.tls.HandshakeContext(context.WithoutCancel(d.base))
	returned = true
}

// read is the link's Read: it waits for what the loop is given. Its goroutine.
func (h *tlsHandshake) read(p []byte) (int, error) {
	if n, err := h.take(p); n > 0 || err != nil {
		return n, err
	}
	s := h.conn.endpoint.door.handshakes
	if h.link.out.size() > 0 { // what was written leaves
		h.conn.perform(actLoop, 0)
	}
	<-s.working
	defer func() { s.working <- struct{}{} }()
	h.await()
	return h.take(p)
}

// take copies what is there.
func (h *tlsHandshake) take(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return 0, net.ErrClosed
	}
	if h.in != nil {
		n = copy(p, h.in.B[h.taken:])
		h.taken += n
	}
	return n, nil
}

// await waits until something is there.
func (h *tlsHandshake) await() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = time.Now()
	for !h.gone && h.unread() == 0 {
		h.more.Wait()
	}
	h.idle = time.Time{}
}

// unread is how much came that was not read yet. Under mu.
func (h *tlsHandshake) unread() int {
	if h.in == nil {
		return 0
	}
	return len(h.in.B) - h.taken
}

// add gives the handshake what came, and reports whether it is not too much. On the loop.
func (h *tlsHandshake) add(view []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.unread()+len(view) > maxHandshakeIn:
		return false
	case h.in == nil:
		h.in = bufpool.Get(len(view))
	case h.unread() == 0:
		h.in.B, h.taken = h.in.B[:0], 0
	}
	h.in = h.in.Append(view)
	h.more.Signal()
	return true
}

// rest returns what was not read, once it is over. On the loop.
func (h *tlsHandshake) rest() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unread() == 0 {
		return nil
	}
	return bytes.Clone(h.in.B[h.taken:])
}

// abandon says that nobody waits for the handshake any more. Any goroutine.
func (h *tlsHandshake) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
	h.more.Signal()
	if h.in != nil {
		h.in.Release()
		h.in = nil
	}
}

func (h *tlsHandshake) isGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *tlsHandshake) idleSince() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.idle
}
