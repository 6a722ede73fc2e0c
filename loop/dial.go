package loop

import (
	"context"
	"net"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// Dial does the opening handshake on nc, which it takes over, and puts the connection on a loop.
// user is its Conn.User from the beginning. Dial returns the connection and the subprotocol the
// server chose. ctx bounds the handshake, and Limits.HandshakeTimeout does. A refusal is a
// *handshake.DialError.
func (p *Dialer) Dial(ctx context.Context, nc net.Conn, req handshake.DialRequest, user any) (*Conn, string, error) {
	protocol, early, err := shakeHands(ctx, nc, req, p.limits.HandshakeTimeout)
	if err != nil {
		nc.Close()
		return nil, "", err
	}
	c := &Conn{endpoint: &p.Endpoint, user: user}
	if early != nil {
		c.ensureTransient().head = early
	}
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
	return c, protocol, nil
}

// shakeHands writes the request and reads one response head. early is what the server sent behind
// it, nil for nothing.
func shakeHands(ctx context.Context, nc net.Conn, req handshake.DialRequest, timeout time.Duration) (protocol string, early *bufpool.Buffer, err error) {
	req.Key = handshake.NewDialKey()
	head, err := handshake.AppendDialRequest(nil, req)
	if err != nil {
		return "", nil, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	// Cancelling makes the pending read or write fail at once.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil && early != nil {
			early.Release()
			early = nil
		}
	}()

	if _, err := nc.Write(head); err != nil {
		return "", nil, err
	}
	buf := bufpool.Get(4 << 10)
	defer func() { buf.Release() }()
	for scan := 0; ; {
		buf = buf.Grow(512)
		n, err := nc.Read(buf.B[len(buf.B):cap(buf.B)])
		if err != nil {
			return "", nil, err
		}
		buf.B = buf.B[:len(buf.B)+n]
		size, next, err := handshake.ScanHead(buf.B, scan, handshake.HeadLimits{})
		if err != nil {
			return "", nil, &handshake.DialError{Reason: "response head too large"}
		}
		if size == 0 {
			scan = next
			continue
		}
		protocol, err := handshake.ParseDialResponse(buf.B[:size], req.Key, req.Protocols)
		if err != nil {
			return "", nil, err
		}
		if rest := buf.B[size:]; len(rest) > 0 {
			early = bufpool.Get(len(rest)).Append(rest)
		}
		return protocol, early, nil
	}
}
