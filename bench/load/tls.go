//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
)

// sealedBuffer is the most that one read of a connection with TLS takes from its socket, and restOfRecord the most that crypto/tls keeps
// of what came before.
const (
	sealedBuffer = 256 << 10
	restOfRecord = 17 << 10
)

// secured is the TLS of one connection: crypto/tls on a connection that never waits. It reads what the engine has received, and the
// engine sends what it has written.
type secured struct {
	net.Conn // nil: crypto/tls calls what is below, and nothing else
	tls      *tls.Conn
	in       []byte  // received and not read
	out      *[]byte // written and not sent; the engine's, for all connections

	// The handshake needs a connection that waits. It runs as a coroutine on the engine's thread, which goes on when more has come.
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool // nil behind the handshake
	err   error
}

func newSecured(cfg *tls.Config, out *[]byte) *secured {
	s := &secured{out: out}
	s.tls = tls.Client(s, cfg)
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		s.err = s.tls.Handshake()
		s.yield = nil
	})
	return s
}

// errDry says that all that was received has been read. crypto/tls takes it for a passing one and can be asked again, also inside of a
// record.
var errDry net.Error = dry{}

type dry struct{}

func (dry) Error() string   { return "nothing is there to be read" }
func (dry) Timeout() bool   { return true }
func (dry) Temporary() bool { return true }

func (s *secured) Read(b []byte) (int, error) {
	for len(s.in) == 0 {
		if s.yield == nil {
			return 0, errDry
		}
		if !s.yield(struct{}{}) {
			return 0, net.ErrClosed
		}
	}
	n := copy(b, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *secured) Write(b []byte) (int, error) {
	*s.out = append(*s.out, b...)
	return len(b), nil
}

// proceed goes on with the handshake.
func (s *secured) proceed() (done bool, err error) {
	_, waits := s.next()
	return !waits, s.err
}

// unseal passes what was received to crypto/tls and returns how many bytes of b that makes. b has room for all.
func (e *engine) unseal(c *conn, received, b []byte) (n int, end bool, err error) {
	s := c.tls
	s.in = received
	if c.state == securing {
		done, err := s.proceed()
		if sent := e.sendSealed(c); err == nil {
			err = sent
		}
		if err != nil {
			return 0, false, fmt.Errorf("TLS handshake: %w", err)
		}
		if !done || c.state == closed {
			return 0, false, nil
		}
		c.state = upgrading
		if err := e.send(c, e.target.request); err != nil || c.state == closed {
			return 0, false, err
		}
	}
	for err == nil {
		var k int
		k, err = s.tls.Read(b[n:])
		n += k
	}
	switch {
	case errors.Is(err, io.EOF):
		return n, true, nil
	case err != errDry:
		return n, false, fmt.Errorf("TLS: %w", err)
	}
	return n, false, e.sendSealed(c)
}

// sendSealed sends what crypto/tls has written.
func (e *engine) sendSealed(c *conn) error {
	if len(e.sealed) == 0 {
		return nil
	}
	b := e.sealed
	e.sealed = e.sealed[:0]
	return e.transmit(c, b)
}
