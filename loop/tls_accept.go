package loop

import (
	"crypto/tls"
	"log/slog"

	"github.com/agloop/agloop/codec/frame"
)

// The names of HTTP in ALPN (RFC 7301 §6).
const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// NewTLSConfig is the config by which a server's loops speak TLS, made of a host's: see
// agloop.ServerConfig.TLS. http2 offers it.
func NewTLSConfig(cfg *tls.Config, http2 bool) *tls.Config {
	protocols := []string{protocolHTTP1}
	if http2 {
		protocols = []string{protocolHTTP2, protocolHTTP1}
	}
	cfg = loopTLS(cfg, protocols)
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil && err == nil {
				chosen = loopTLS(chosen, protocols)
			}
			return chosen, err
		}
	}
	return cfg
}

// NewClientTLSConfig is the config by which a client's connections to host speak TLS, made of a host's,
// which may be nil: see agloop.ClientConfig.TLS.
func NewClientTLSConfig(cfg *tls.Config, host string) *tls.Config {
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg = loopTLS(cfg, nil)
	cfg.NextProtos = []string{protocolHTTP1} // a WebSocket begins with nothing else
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg
}

// loopTLS is cfg as loops can use it.
func loopTLS(cfg *tls.Config, protocols []string) *tls.Config {
	cfg = cfg.Clone()
	if len(cfg.NextProtos) == 0 {
		cfg.NextProtos = protocols
	}
	cfg.Renegotiation = tls.RenegotiateNever // a second handshake would have to wait on the loop
	cfg.DynamicRecordSizingDisabled = true   // a write is small, or a burst whose records would only cost
	return cfg
}

// helloIn takes what a client of a TLS port says first, and has the handshake begun when the first
// record is whole.
func (c *Conn) helloIn(view []byte) (n int) {
	c.loop.owner.check()
	d := c.endpoint.door
	all := view
	if c.transient != nil && c.transient.head != nil {
		c.transient.head = c.transient.head.Append(view)
		all = c.transient.head.B
	}
	if n, done := c.proxyHeader(all, view); !done {
		return n
	}
	const header, plaintext = 5, 16 << 10
	switch first := all[0]; {
	case first == recordHandshake:
	case first >= 'A' && first <= 'Z':
		c.refuse(errWantsTLS)
		return len(view)
	default:
		c.loop.Counters.BadUpgrade.Add(1)
		c.closeNow()
		return len(view)
	}
	if len(all) < header || len(all) < header+min(int(all[3])<<8|int(all[4]), plaintext) {
		c.keepHead(view, 0)
		return len(view)
	}
	link := newServerLink(nil, d.tls)
	h := newTLSHandshake(c, link, all)
	link.shake = h
	c.releaseHead()
	c.ensureTransient().shake = h
	c.addLink(link)
	d.handshakes.begin(h)
	return len(view)
}

// recordHandshake is the type of a record of the handshake (RFC 8446 §5.1).
const recordHandshake = 22

// hangUp ends a connection without a closing handshake, once what waits has left.
func (c *Conn) hangUp(cause error) {
	c.endAsking()
	c.mu.Lock()
	c.outFlags |= outClosing
	c.mu.Unlock()
	c.releaseHead()
	if cause != nil {
		c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: cause})
	}
	c.loop.setDeadline(c, after(c.loop.nowTick(), ticks(min(lastFrameTime, c.endpoint.limits.CloseTimeout))))
	c.state = draining
}

// tlsState is how the connection is secured, nil for one that is not.
func (c *Conn) tlsState() *tls.ConnectionState {
	ly := c.layers()
	if !ly.isSecure() {
		return nil
	}
	state := ly.link.tls.ConnectionState()
	return &state
}

// checkSecured goes on when the TLS handshake is over.
func (c *Conn) checkSecured() {
	c.loop.owner.check()
	h := c.transient.shake
	if !h.done.Load() {
		return
	}
	link, err := h.link, h.err
	link.shake, link.view, c.transient.shake = nil, h.rest(), nil
	h.abandon()
	c.trimTransient()
	if err != nil {
		c.loop.Counters.BadUpgrade.Add(1)
		c.endpoint.log.Debug("agloop: a TLS handshake failed", slog.Any("err", err), slog.Any("remote", c.peer()))
		c.hangUp(err)
		return
	}
	c.mu.Lock()
	link.ready = true
	c.mu.Unlock()
	c.state = handshaking
	if link.tls.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		c.handToHTTP(nil)
		return
	}
	c.turn(func() { c.receive(nil) })
}
