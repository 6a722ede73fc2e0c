package loop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// greeting is what is said on a connection that was dialled before a loop has it.
type greeting struct {
	// Immutable.
	nc      net.Conn
	url     string
	since   time.Time
	maxHead int // bytes

	// The goroutine of Dial.
	in *bufpool.Buffer // what came and is not dealt with
}

// shakeHands asks the proxy, if there is one, and the server. early is what the server sent behind
// its response, nil for nothing.
func (p *Dialer) shakeHands(ctx context.Context, nc net.Conn, cfg DialConfig) (protocol string, early *bufpool.Buffer, err error) {
	cfg.Request.Key = handshake.NewDialKey()
	request, err := handshake.AppendDialRequest(nil, cfg.Request)
	if err != nil {
		return "", nil, err
	}
	if timeout := p.limits.HandshakeTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	g := &greeting{
		nc: nc, url: cfg.URL, since: time.Now(), maxHead: p.limits.MaxHeader,
		in: bufpool.Get(4 << 10),
	}
	defer func() { g.in.Release() }()
	stop := interruptAfter(ctx, nc)
	defer stop()

	if cfg.Proxy != "" {
		if err := g.connect(ctx, cfg); err != nil {
			return "", nil, err
		}
	}
	const what = "the response to the opening handshake"
	size, err := g.ask(ctx, request, what)
	if err != nil {
		return "", nil, err
	}
	protocol, err = handshake.ParseDialResponse(g.in.B[:size], cfg.Request.Key, cfg.Request.Protocols)
	if err != nil {
		return "", nil, g.refusal(ctx, err, size)
	}
	if !stop() { // the connection is interrupted, or will be
		return "", nil, g.fault(ctx, what, ctx.Err())
	}
	if rest := g.in.B[size:]; len(rest) > 0 {
		early = bufpool.Get(len(rest)).Append(rest)
	}
	return protocol, early, nil
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
			g.in.B = append(g.in.B[:0], g.in.B[size:]...)
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
