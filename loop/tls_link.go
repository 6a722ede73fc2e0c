package loop

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// tlsLink is the net.Conn below a tls.Conn, which cannot be given another one: so the link is what
// moves. While a goroutine has the connection, in a handshake or in net/http, the link reads and
// writes its socket and waits for it. On a loop it reads what the loop gives it and never waits:
// crypto/tls takes an error that is temporary for no end, and goes on where it was, also inside a
// record. Only the server's handshake on a loop waits for bytes, in a goroutine of its own.
type tlsLink struct {
	// Immutable.
	tls *tls.Conn

	// Whoever has the connection.
	nc    net.Conn      // the socket of a goroutine; nil on a loop
	shake *tlsHandshake // under way on a loop
	view  []byte        // what came and crypto/tls has not taken; it comes before what nc has

	// Who reads.
	head    [5]byte // of the record under way
	headLen uint8   // bytes of it that were read
	left    int     // bytes of the record still to be read
	records uint32  // read whole so far
	ended   bool    // nothing more is to be read
	eof     bool    // since close_notify has come

	// Any goroutine, under Conn.mu; written by the loop.
	ready bool // the handshake is done

	// Any goroutine.
	out ahead
}

// dryError is what crypto/tls is told while nothing more has come.
type dryError struct{}

func (dryError) Error() string   { return "nothing more has come" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }

var (
	errDry          error = dryError{}
	errTLSUnready         = errors.New("the TLS handshake is not done")
	errTLSHandshake       = errors.New("TLS handshake failed")
)

// newServerLink is the link of a connection that was accepted. nc is nil on a loop.
func newServerLink(nc net.Conn, cfg *tls.Config) *tlsLink {
	k := &tlsLink{nc: nc}
	k.tls = tls.Server(k, cfg)
	return k
}

// newClientLink is the link of a connection that was dialled.
func newClientLink(nc net.Conn, cfg *tls.Config) *tlsLink {
	k := &tlsLink{nc: nc}
	k.tls = tls.Client(k, cfg)
	return k
}

// linkOf is the link below nc, or nil where there is none.
func linkOf(nc net.Conn) *tlsLink {
	if t, ok := nc.(*tls.Conn); ok {
		k, _ := t.NetConn().(*tlsLink)
		return k
	}
	return nil
}

// Read implements net.Conn.
func (k *tlsLink) Read(p []byte) (int, error) {
	n, err := k.read(p)
	k.follow(p[:n])
	return n, err
}

func (k *tlsLink) read(p []byte) (n int, err error) {
	switch {
	case k.shake != nil:
		return k.shake.read(p)
	case len(k.view) > 0:
		if k.nc == nil { // nothing of the next record: so what each one brought can be told
			p = p[:min(len(p), k.toBoundary())]
		}
		n = copy(p, k.view)
		k.view = k.view[n:]
		return n, nil
	case k.nc != nil:
		return k.nc.Read(p)
	}
	return 0, errDry
}

// toBoundary is how many bytes are left of the record under way, or of its header.
func (k *tlsLink) toBoundary() int {
	if k.left > 0 {
		return k.left
	}
	return len(k.head) - int(k.headLen)
}

// follow keeps track of where records end. Beyond the length in their headers it looks at nothing.
func (k *tlsLink) follow(p []byte) {
	for len(p) > 0 {
		n := min(len(p), k.toBoundary())
		if k.left > 0 {
			k.left -= n
		} else {
			k.headLen += uint8(copy(k.head[k.headLen:], p[:n]))
			if int(k.headLen) < len(k.head) {
				return
			}
			k.headLen, k.left = 0, int(k.head[3])<<8|int(k.head[4])
		}
		if p = p[n:]; k.left == 0 {
			k.records++
		}
	}
}

// socket is what a goroutine that has the connection reads from.
func (k *tlsLink) socket() net.Conn {
	if h, ok := k.nc.(*HTTPConn); ok {
		return h.Conn
	}
	return k.nc
}

// toLoop takes the socket out of the link: from now on a loop has the connection.
func (k *tlsLink) toLoop() net.Conn {
	nc := k.socket()
	if h, ok := k.nc.(*HTTPConn); ok {
		k.view = append(k.view, h.read...)
	}
	k.nc, k.ready = nil, true
	return nc
}

// Write implements net.Conn. On a loop it takes all bytes and no lock of the connection: an answer to
// KeyUpdate is written by the loop inside tls.Conn.Read, while another goroutine that holds Conn.mu
// may wait for crypto/tls.
func (k *tlsLink) Write(p []byte) (int, error) {
	if k.nc != nil {
		return k.nc.Write(p)
	}
	if err := k.out.add(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// encrypt makes ciphertext of p in out. Under Conn.mu.
func (k *tlsLink) encrypt(p []byte) error {
	if !k.ready {
		return errTLSUnready // crypto/tls would wait for the handshake
	}
	_, err := k.tls.Write(p)
	return err
}

// Close implements net.Conn. On a loop it does nothing: the loop closes.
func (k *tlsLink) Close() error {
	if k.nc != nil {
		return k.nc.Close()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (k *tlsLink) LocalAddr() net.Addr {
	switch {
	case k.nc != nil:
		return k.nc.LocalAddr()
	case k.shake != nil:
		return k.shake.local
	}
	return nil
}

// RemoteAddr implements net.Conn. On a loop it is known during the handshake alone.
func (k *tlsLink) RemoteAddr() net.Addr {
	switch {
	case k.nc != nil:
		return k.nc.RemoteAddr()
	case k.shake != nil:
		return k.shake.remote
	}
	return nil
}

// SetDeadline implements net.Conn. On a loop the deadlines are the loop's.
func (k *tlsLink) SetDeadline(t time.Time) error {
	return errors.Join(k.SetReadDeadline(t), k.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (k *tlsLink) SetReadDeadline(t time.Time) error {
	if k.nc != nil {
		return k.nc.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (k *tlsLink) SetWriteDeadline(t time.Time) error {
	if k.nc != nil {
		return k.nc.SetWriteDeadline(t)
	}
	return nil
}
