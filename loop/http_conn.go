package loop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// handToHTTP gives a connection that asks for no WebSocket here to the door's HTTP side, with the
// bytes read so far.
func (c *Conn) handToHTTP(read []byte) {
	fd, err := c.sock.Dup()
	if err != nil {
		c.closeNow()
		return
	}
	d := c.endpoint.door
	h := &HTTPConn{door: d, read: bytes.Clone(read), loopback: c.marked(markLoopback), stall: d.limits.WriteTimeout}
	if peer := c.peer(); d.proxyProtocol && peer.IsValid() {
		h.remote = net.TCPAddrFromAddrPort(peer)
	}
	var unsent []byte
	if ly := c.layers(); ly.isSecure() { // what was read comes before what is still to be decrypted
		k := ly.link
		h.above = &secureConn{Conn: k.tls, read: h.read}
		h.read, k.view = bytes.Clone(k.view), nil
		unsent = k.out.take()
		c.removeLayers()
		k.nc = h
	}
	go d.handOver(fd, h, unsent)
	c.closeNow()
}

// handOver makes a net.Conn of a descriptor that left its loop, writes what was still to leave, and
// gives it to the HTTP side.
func (d *Door) handOver(fd int, h *HTTPConn, unsent []byte) {
	nc, err := fileConn(fd)
	if err != nil {
		d.log.Warn("agloop: connection lost on its way to HTTP", "err", err)
		return
	}
	if tcp, ok := nc.(*net.TCPConn); ok { // nobody pings it
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	}
	h.Conn = nc
	if len(unsent) > 0 {
		if _, err := h.Write(unsent); err != nil {
			h.Close()
			return
		}
	}
	d.http(h)
}

// HTTPConn is a connection that left its loop to speak HTTP: the bytes that were read come first. A
// response may last for ever, but its peer must read: a write fails when the peer has taken no byte
// for Limits.WriteTimeout. A later request on it may become a WebSocket again. Where the connection
// speaks TLS, this is what lies below that; see Served.
type HTTPConn struct {
	// Immutable.
	net.Conn
	above    *secureConn // nil: it speaks no TLS
	door     *Door       // that accepted it
	onLend   func(n int) // see OnLend
	remote   net.Addr    // what a proxy says of the client; nil for none
	loopback bool        // its listener can be reached from this machine alone

	// Who reads.
	read []byte // comes first

	// Any goroutine, under mu.
	mu       sync.Mutex
	stall    time.Duration // how long a write may not progress; 0 or less: for ever
	until    time.Time     // the deadline of writes that the host set
	body     bool          // the rest of a request is awaited
	hurrying bool
}

// secureConn is a connection of TLS of which some bytes were read already.
type secureConn struct {
	*tls.Conn
	read []byte // comes first
}

// Read implements net.Conn.
func (s *secureConn) Read(p []byte) (int, error) {
	if len(s.read) > 0 {
		n := copy(p, s.read)
		s.read = s.read[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}

// Served is what an http.Server is to be given: h itself, or the connection of TLS above it.
func (h *HTTPConn) Served() net.Conn {
	switch {
	case h.above == nil:
		return h
	case h.speaksHTTP2():
		return h.above.Conn // nothing of it was read, and net/http wants to know the type
	}
	return h.above
}

func (h *HTTPConn) speaksHTTP2() bool {
	return h.above != nil && h.above.ConnectionState().NegotiatedProtocol == protocolHTTP2
}

// ServedBy is the HTTPConn whose Served is nc, or nil.
func ServedBy(nc net.Conn) *HTTPConn {
	switch nc := nc.(type) {
	case *HTTPConn:
		return nc
	case *secureConn:
		return ServedBy(nc.Conn)
	}
	if k := linkOf(nc); k != nil {
		h, _ := k.nc.(*HTTPConn)
		return h
	}
	return nil
}

// HurryTime is how long a body or a response may stand still when the server shuts down.
const HurryTime = time.Second

// Read implements net.Conn.
func (h *HTTPConn) Read(p []byte) (int, error) {
	if len(h.read) > 0 {
		n := copy(p, h.read)
		h.read = h.read[n:]
		return n, nil
	}
	return h.Conn.Read(p)
}

// RemoteAddr implements net.Conn.
func (h *HTTPConn) RemoteAddr() net.Addr {
	if h.remote != nil {
		return h.remote
	}
	return h.Conn.RemoteAddr()
}

// Write implements net.Conn.
func (h *HTTPConn) Write(p []byte) (n int, err error) {
	for {
		bounded, err := h.bound()
		if err != nil {
			return n, err
		}
		m, err := h.Conn.Write(p[n:])
		n += m
		if !bounded || m == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// bound sets when a write that does not progress fails, under mu, or one that was set meanwhile would
// not hold. bounded tells that a write that does progress goes on after it.
func (h *HTTPConn) bound() (bounded bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var at time.Time
	if h.stall > 0 {
		at = time.Now().Add(h.stall)
	}
	if bounded = h.until.IsZero() || h.stall > 0 && at.Before(h.until); !bounded {
		at = h.until
	}
	return bounded, h.Conn.SetWriteDeadline(at)
}

// SetWriteDeadline implements net.Conn.
func (h *HTTPConn) SetWriteDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = t
	return h.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (h *HTTPConn) SetDeadline(t time.Time) error {
	return errors.Join(h.SetReadDeadline(t), h.SetWriteDeadline(t))
}

// CloseWrite lets net/http close without a reset, while the peer still sends.
func (h *HTTPConn) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// BeginBody says that the body of a request is awaited and must be whole within d; 0 or less is no
// limit. Any goroutine.
func (h *HTTPConn) BeginBody(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.body = true
	if h.hurrying {
		d = HurryTime
	}
	if d > 0 {
		_ = h.SetReadDeadline(time.Now().Add(d))
	}
}

// EndBody says that the body is there. Any goroutine.
func (h *HTTPConn) EndBody() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.body {
		h.body = false
		_ = h.SetReadDeadline(time.Time{})
	}
}

// Hurry gives a body that is awaited, and a response that is not read, one more second: the server
// shuts down. Any goroutine.
func (h *HTTPConn) Hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hurrying = true
	if h.stall <= 0 || h.stall > HurryTime {
		h.stall = HurryTime
	}
	soon := time.Now().Add(HurryTime)
	if h.body {
		_ = h.SetReadDeadline(soon)
	}
	if h.until.IsZero() || soon.Before(h.until) {
		_ = h.Conn.SetWriteDeadline(soon) // of the write under way
	}
}

// OnLend has f called when the connection carries a stream more, or fewer: it has a slot of the door
// meanwhile, see Guest. Before it is served.
func (h *HTTPConn) OnLend(f func(n int)) { h.onLend = f }

// Lend tells that it carries so many streams more. Any goroutine; a nil HTTPConn does nothing.
func (h *HTTPConn) Lend(n int) {
	if h != nil && h.onLend != nil {
		h.onLend(n)
	}
}

type httpConnKey struct{}

// Context is ctx for the requests on this connection, by which a door that is asked for one of them
// knows the connection.
func (h *HTTPConn) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, httpConnKey{}, h)
}

// HTTPConnOf is the connection of a request whose context comes from HTTPConn.Context, or nil.
func HTTPConnOf(ctx context.Context) *HTTPConn {
	h, _ := ctx.Value(httpConnKey{}).(*HTTPConn)
	return h
}

// Refuse answers the request that was read, when there is no room for the connection, and closes
// it.
func (h *HTTPConn) Refuse() {
	var served interface {
		net.Conn
		CloseWrite() error
	} = h
	if h.above != nil {
		served = h.above.Conn
	}
	_ = served.SetDeadline(time.Now().Add(refusalWrite))
	if !h.speaksHTTP2() {
		_, _ = served.Write(fullResponse)
	}
	_ = served.CloseWrite()
	_, _ = served.Read(make([]byte, 4<<10))
	served.Close()
}
