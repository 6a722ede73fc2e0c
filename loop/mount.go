package loop

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// ServeHTTP lets in a request that net/http has read, of any server and path, and takes its
// connection over: what it has sent already is the first that the loop reads. It returns when the
// connection is on its way to a loop, or the request is refused. A request that asks for no
// WebSocket is answered 426.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, upgrade, err := handshake.ParseRequest(handshake.AppendHead(nil, r))
	switch {
	case !upgrade:
		AskForUpgrade(w, r)
		return
	case err == nil:
		err = d.mount(w, r, &req)
	}
	if err != nil {
		refusal := refusalOf(err)
		countRefusal(&d.Counters, refusal)
		refusal.Respond(w)
	}
}

// AskForUpgrade answers a request that asks for no WebSocket where there is nothing else.
func AskForUpgrade(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 { // HTTP/2 has no such fields (RFC 9113 §8.2.2)
		w.Header().Add("Connection", "Upgrade") // beside close, if that is there
		w.Header().Set("Upgrade", "websocket")
	}
	http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
}

// mount lets a flawless request in. With an error nothing was answered yet.
func (d *Door) mount(w http.ResponseWriter, r *http.Request, req *handshake.Request) error {
	id, ok := d.slots.Acquire()
	if !ok {
		d.refused.slots.Add(1)
		return errFull
	}
	c := &Conn{endpoint: &d.Endpoint, id: id}
	enrolled := false
	defer func() { // also when middleware panics
		if !enrolled {
			c.leave()
			d.slots.Release(id)
		}
	}()
	response, err := d.judgeMounted(c, w.Header(), r, req)
	if err != nil {
		return err
	}
	enrolled, err = d.takeOver(w, r, c, response)
	return err
}

// takeOver takes the connection of a request out of net/http and puts it onto a loop as c, which is to
// send response first. It reports whether c is there, or lost; with an error nothing was answered yet.
func (d *Door) takeOver(w http.ResponseWriter, r *http.Request, c *Conn, response []byte) (enrolled bool, err error) {
	nc, early, err := hijack(w)
	if err != nil {
		d.log.Error("agloop: a mounted server cannot take a connection over", "err", err)
		return false, errNoHijack
	}
	h := c.ensureTransient()
	switch k := linkOf(nc); {
	case k != nil && fits(k.socket()):
		h.link, nc = k, k.toLoop()
	case r.TLS != nil && !fits(nc):
		if nc, err = d.pump(nc); err != nil {
			d.log.Error("agloop: a mounted server cannot take a connection of TLS over", "err", err)
			return false, nil
		}
	}
	if !fits(nc) {
		d.log.Error("agloop: a mounted server cannot take this kind of connection over", "type", fmt.Sprintf("%T", nc))
		_ = nc.SetWriteDeadline(time.Now().Add(refusalWrite))
		_, _ = nc.Write(errNoHijack.AppendResponse(nil))
		nc.Close()
		return false, nil
	}
	h.response = response
	if len(early) > 0 {
		h.head = bufpool.Get(len(early)).Append(early)
	}
	if err := d.eng.enrollWatched(nc, c); err != nil {
		c.lost(err)
	}
	return true, nil
}

// judgeMounted makes the response that lets the request of c in, with the fields that middleware has
// set.
func (d *Door) judgeMounted(c *Conn, also http.Header, r *http.Request, req *handshake.Request) (response []byte, err error) {
	protocol := handshake.SelectProtocol(d.protocols, req.Protocols())
	if d.notes || protocol != "" || r.TLS != nil { // a pumped connection has another address on its loop
		c.user = &entry{}
	}
	https, err := c.admitMounted(r, req)
	if err != nil {
		return nil, err
	}
	if d.authorize == nil {
		return c.welcome(nil, req.Key, protocol, c.agree(r.Header[extensionsField]), grantAll, also)
	}
	j, done := d.askMounted(c, r, req, https, also)
	defer done()
	select {
	case <-j.told:
		return j.settle()
	case <-j.ctx.Done():
		return nil, j.late()
	}
}

// askMounted has Authorize asked about a request that net/http has read. It sees what middleware has
// put into the context of the request, and is to end with the door all the same.
func (d *Door) askMounted(c *Conn, r *http.Request, req *handshake.Request, https bool, also http.Header) (j *judgement, done func()) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if limit := d.limits.HandshakeTimeout; limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	j = newJudgement(ctx, c, req, https, r.TLS)
	j.also, j.told = also, make(chan struct{})
	stop := context.AfterFunc(d.base, j.cancel)
	d.ask(j)
	return j, func() {
		stop()
		j.cancel()
		cancel()
	}
}

// admitMounted is admit for a request that net/http has read.
func (c *Conn) admitMounted(r *http.Request, req *handshake.Request) (https bool, err error) {
	d := c.endpoint.door
	accepted := HTTPConnOf(r.Context())
	if accepted != nil && accepted.loopback || accepted == nil && onLoopback(r.Context()) {
		c.marks.Or(markLoopback)
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // of a unix socket it is none
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	// Where this door has accepted the connection it has asked for the rate of its network.
	return c.admit(req, peer, r.TLS != nil, accepted == nil || accepted.door != d || d.behindProxy(peer))
}

// onLoopback reports whether the listener of a request's server can be reached from this machine
// alone. Where net/http knows only the address of the connection, that is taken for the listener's.
func onLoopback(ctx context.Context) bool {
	if srv, ok := ctx.Value(http.ServerContextKey).(*http.Server); ok && srv.Addr != "" {
		host, _, err := net.SplitHostPort(srv.Addr)
		addr, parseErr := netip.ParseAddr(host)
		return err == nil && (host == "localhost" || parseErr == nil && addr.IsLoopback())
	}
	addr, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	return isLoopback(addr)
}

// hijack takes the connection out of net/http, with the bytes that were read behind the request.
func hijack(w http.ResponseWriter) (nc net.Conn, early []byte, err error) {
	nc, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early = make([]byte, buf.Reader.Buffered())
	_, _ = io.ReadFull(buf.Reader, early)
	switch h := nc.(type) {
	case *HTTPConn:
		return h.Conn, append(early, h.read...), nil
	case *secureConn:
		return h.Conn, append(early, h.read...), nil
	}
	return nc, early, nil
}
