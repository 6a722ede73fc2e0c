package loop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/deflate"
	"github.com/agloop/agloop/codec/handshake"
)

// greeting is what is said on a connection that was dialled before a loop has it.
type greeting struct {
	// Immutable.
	url     string
	since   time.Time
	maxHead int // bytes

	// The goroutine of Dial.
	nc       net.Conn        // with the link
	link     *tlsLink        // nil without TLS
	in       *bufpool.Buffer // what came and is not dealt with; in the end what is behind the response
	protocol string          // that the server chose
	deflate  deflate.Params  // what it agreed to
}

// release gives the buffer back. g may be nil.
func (g *greeting) release() {
	if g != nil && g.in != nil {
		g.in.Release()
		g.in = nil
	}
}

// shakeHands asks the proxy, if there is one, and the server. The caller releases the greeting.
func (p *Dialer) shakeHands(ctx context.Context, nc net.Conn, cfg DialConfig) (g *greeting, err error) {
	cfg.Request.Key = handshake.NewDialKey()
	if p.compression.Enabled {
		cfg.Request.Extensions = deflate.Offer(p.compression.config())
	}
	request, err := handshake.AppendDialRequest(nil, cfg.Request)
	if err != nil {
		return nil, err
	}
	if timeout := p.limits.HandshakeTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	g = &greeting{
		nc: nc, url: cfg.URL, since: time.Now(), maxHead: p.limits.MaxHeader,
		in: bufpool.Get(4 << 10),
	}
	stop := interruptAfter(ctx, nc)
	defer stop()

	if cfg.Proxy != "" {
		if err := g.connect(ctx, cfg); err != nil {
			return g, err
		}
	}
	if cfg.TLS != nil {
		if err := g.secure(ctx, cfg.TLS); err != nil {
			return g, err
		}
	}
	const what = "the response to the opening handshake"
	size, err := g.ask(ctx, request, what)
	if err != nil {
		return g, err
	}
	var extend func([]string) error
	if compression := p.compression; compression.Enabled {
		extend = func(answer []string) (err error) {
			g.deflate, err = deflate.Confirm(answer, compression.config())
			return err
		}
	}
	g.protocol, err = handshake.ParseDialResponse(g.in.B[:size], cfg.Request.Key, cfg.Request.Protocols, extend)
	if err != nil {
		return g, g.refusal(ctx, err, size)
	}
	if !stop() { // the connection is interrupted, or will be
		return g, g.fault(ctx, what, ctx.Err())
	}
	g.drop(size)
	return g, nil
}

// drop forgets the first n bytes of what came.
func (g *greeting) drop(n int) { g.in.B = append(g.in.B[:0], g.in.B[n:]...) }

// secure does the TLS handshake. What came already is its beginning.
func (g *greeting) secure(ctx context.Context, cfg *tls.Config) error {
	g.link = newClientLink(g.nc, cfg)
	g.link.view = bytes.Clone(g.in.B)
	g.in.B = g.in.B[:0]
	if err := g.link.tls.HandshakeContext(ctx); err != nil {
		return g.fault(ctx, "the TLS handshake", err)
	}
	g.nc = g.link.tls
	return nil
}

// interruptAfter makes reads and writes of nc fail from the end of ctx on. The first stop ends that
// and reports whether it came in time.
func interruptAfter(ctx context.Context, nc net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// connect makes the proxy open a tunnel to the server. What comes behind the proxy's response is
// the server's.
func (g *greeting) connect(ctx context.Context, cfg DialConfig) error {
	request, err := handshake.AppendConnectRequest(nil, cfg.Connect)
	if err != nil {
		return err
	}
	size, err := g.ask(ctx, request, "the response of the proxy "+cfg.Proxy)
	if err == nil {
		err = handshake.ParseConnectResponse(g.in.B[:size])
		if err == nil {
			g.drop(size)
			return nil
		}
		err = g.refusal(ctx, err, size)
	}
	if refused, ok := errors.AsType[*handshake.DialError](err); ok {
		refused.Proxy = cfg.Proxy
	}
	return err
}

// ask writes a request and reads until the head of the response is in g.in, size bytes long. what
// names that for errors. Who refuses before it is asked is heard too.
func (g *greeting) ask(ctx context.Context, request []byte, what string) (size int, err error) {
	_, unsent := g.nc.Write(request)
	limits := handshake.HeadLimits{MaxBytes: g.maxHead, MaxFields: -1, MaxRequestLine: -1}
	for scan := 0; ; {
		if size, scan, err = handshake.ScanHead(g.in.B, scan, limits); err != nil {
			return 0, &handshake.DialError{
				Reason: fmt.Sprintf("response head larger than Limits.MaxHeader, %d bytes", g.maxHead),
			}
		}
		if size > 0 {
			return size, nil
		}
		g.in = g.in.Grow(512)
		have := len(g.in.B)
		n, err := g.nc.Read(g.in.B[have:cap(g.in.B)])
		g.in.B = g.in.B[:have+n]
		switch {
		case n > 0 || err == nil:
		case unsent != nil:
			return 0, g.fault(ctx, what, unsent)
		default:
			return 0, g.fault(ctx, what, err)
		}
	}
}

// fault is the error of a connection on which what was waited for has not come, because of err or
// because ctx has ended.
func (g *greeting) fault(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		waited := time.Since(g.since).Round(10 * time.Millisecond)
		return fmt.Errorf("agloop: dial %s: waited %v for %s: %w", g.url, waited, what, ctx.Err())
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("agloop: dial %s: waiting for %s: %w", g.url, what, err)
}

// bodyTimeout is how long the body of a refusal is waited for: it explains what is known already.
const bodyTimeout = time.Second

// refusal adds to err, which judges the response whose head is the first size bytes of g.in, what
// the response says besides.
func (g *greeting) refusal(ctx context.Context, err error, size int) error {
	refused, ok := errors.AsType[*handshake.DialError](err)
	if !ok || refused.Status == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	defer interruptAfter(ctx, g.nc)()
	refused.ReadResponse(g.in.B[:size], io.MultiReader(bytes.NewReader(g.in.B[size:]), g.nc))
	return err
}
