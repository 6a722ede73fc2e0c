package loop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/tune"
)

// DialConfig says what a connection is dialled for.
type DialConfig struct {
	// URL is the server's as errors name it, without what may be secret.
	URL string
	// Request is the opening handshake. Its Key is made by Dial.
	Request handshake.DialRequest
	// Proxy is the address of the proxy that the connection leads to, "host:port". "" is none.
	Proxy string
	// Connect is what the proxy is asked for.
	Connect handshake.ConnectRequest
	// TLS secures the connection to the server. It must come from NewClientTLSConfig. nil is plain.
	TLS *tls.Config
	// User is the connection's Conn.User from the beginning.
	User any
}

// Dial does the opening handshake on nc, which it takes over, through a proxy if there is one, and
// puts the connection on a loop. It returns the connection and the subprotocol the server chose.
// ctx bounds what is said on nc, and Limits.HandshakeTimeout does, all of it together; the error
// says what was waited for. A refusal is a *handshake.DialError, an nc that no loop can take a
// *tune.ConfigError.
func (p *Dialer) Dial(ctx context.Context, nc net.Conn, cfg DialConfig) (*Conn, string, error) {
	if nc == nil {
		return nil, "", errUnfit(nc)
	}
	g, err := p.shakeHands(ctx, nc, cfg)
	if err == nil && !fits(nc) {
		err = errUnfit(nc)
	}
	if err != nil {
		g.release()
		nc.Close()
		return nil, "", err
	}
	c := &Conn{endpoint: &p.Endpoint, user: cfg.User}
	h := c.ensureTransient()
	if h.deflate = g.deflate; len(g.in.B) > 0 {
		h.head, g.in = g.in, nil
	}
	if h.link = g.link; g.link != nil {
		g.link.toLoop()
	}
	g.release()
	c.trimTransient()
	a, err := p.eng.enroll(nc, c)
	if err != nil {
		c.dropTransient()
		return nil, "", err
	}
	timer := time.NewTimer(max(p.limits.HandshakeTimeout, time.Second))
	defer timer.Stop()
	if err := a.await(timer); err == errLoopStuck {
		if c.abandon() { // or the loop has opened it this moment
			a.watch()
			return nil, "", err
		}
	} else if err != nil {
		c.dropTransient()
		return nil, "", err
	}
	return c, g.protocol, nil
}

// errUnfit is the error of a connection that no loop can take.
func errUnfit(nc net.Conn) error {
	return &tune.ConfigError{Field: "Dial", Reason: fmt.Sprintf(
		"opened a %T, which no loop can take; open a *net.TCPConn or *net.UnixConn", nc,
	)}
}
