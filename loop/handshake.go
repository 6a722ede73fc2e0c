package loop

import (
	"net/netip"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// handshake takes bytes of a request head and, when it is whole, answers it or has it judged. The
// bytes behind it are left to the next state.
func (c *Conn) handshake(view []byte) (n int) {
	c.loop.owner.check()
	d := c.endpoint.door
	all, scan := view, 0
	if c.transient != nil && c.transient.head != nil {
		c.transient.head = c.transient.head.Append(view)
		all, scan = c.transient.head.B, c.transient.scan
	}
	if n, done := c.proxyHeader(all, view); !done {
		return n
	}
	if all[0] == recordHandshake && !c.layers().isSecure() { // it would wait for us until the deadline
		c.refuse(errSpeaksTLS)
		return len(view)
	}
	size, next, err := handshake.ScanHead(all, scan, d.head)
	switch {
	case err != nil:
		c.refuse(err)
		return len(view)
	case size == 0:
		c.keepHead(view, next)
		return len(view)
	}
	n = len(view) - (len(all) - size)

	req := &c.loop.request
	var upgrade bool
	*req, upgrade, err = handshake.ParseRequest(all[:size])
	switch {
	case !upgrade || string(req.Path) != d.path && d.path != AnyPath:
		c.handToHTTP(all)
		return len(view)
	case err != nil:
		c.refuse(err)
		return len(view)
	}
	if err := c.answer(req); err != nil {
		c.refuse(err)
		return len(view)
	}
	if c.state == closed { // Close came first
		return len(view)
	}
	c.releaseHead()
	if c.state == handshaking {
		c.established()
	}
	return n
}

// proxyHeader takes what the PROXY protocol says of the client, where it is to say so first. all is
// what came so far, and ends with view, of which it took n bytes. It reports whether nothing was there
// to be taken.
func (c *Conn) proxyHeader(all, view []byte) (n int, done bool) {
	if !c.endpoint.door.proxyProtocol || c.entry() != nil {
		return 0, true
	}
	source, length, err := handshake.ParseProxy(all)
	switch {
	case err != nil && c.state == securing:
		c.loop.Counters.BadUpgrade.Add(1)
		c.closeNow()
		return len(view), false
	case err != nil:
		c.refuse(err)
		return len(view), false
	case length == 0:
		c.keepHead(view, 0)
		return len(view), false
	}
	c.noteProxy(source)
	n = len(view) - (len(all) - length)
	c.releaseHead()
	return n, false
}

// keepHead keeps the first bytes of what is not whole yet.
func (c *Conn) keepHead(view []byte, scan int) {
	h := c.ensureTransient()
	if h.head == nil {
		h.head = bufpool.Get(len(view)).Append(view)
	}
	h.scan = scan
}

// noteProxy notes what the PROXY protocol says of the client. Of a proxy that is not trusted it
// changes nothing.
func (c *Conn) noteProxy(source netip.AddrPort) {
	peer := addrPort(c.sock.RemoteAddr())
	if source.IsValid() && c.endpoint.door.proxies.Trusts(peer.Addr()) {
		peer = source
	}
	c.user = &entry{info: ConnInfo{Remote: peer}}
}

// peer is the address of who connected, of whom the PROXY protocol has spoken if it was to.
func (c *Conn) peer() netip.AddrPort {
	if e := c.entry(); e != nil {
		return e.info.Remote
	}
	return addrPort(c.sock.RemoteAddr())
}

// answer lets a flawless request in: it queues the 101, or has Authorize asked.
func (c *Conn) answer(req *handshake.Request) error {
	d := c.endpoint.door
	peer := c.peer()
	protocol := handshake.SelectProtocol(d.protocols, req.Protocols())
	if (d.notes || protocol != "") && c.entry() == nil {
		c.user = &entry{}
	}
	https, err := c.admit(req, peer, c.layers().isSecure(), d.behindProxy(peer))
	if err != nil {
		return err
	}
	if d.authorize != nil {
		c.beginJudging(newJudgement(d.base, c, req, https, c.tlsState()))
		return nil
	}
	var b [256]byte
	response, err := c.welcome(b[:0], req.Key, protocol, c.agree(offers(req)), grantAll, nil)
	if err != nil {
		return err
	}
	if !c.putRaw(response) {
		c.closeNow()
	}
	return nil
}

// refuse answers a handshake that fails and ends the connection.
func (c *Conn) refuse(err error) {
	ue := refusalOf(err)
	countRefusal(&c.loop.Counters, ue)
	c.endJudging()
	c.leave()
	if !c.putRaw(ue.AppendResponse(nil)) {
		c.closeNow()
		return
	}
	c.mu.Lock()
	c.outFlags |= outClosing
	c.mu.Unlock()
	c.releaseHead()
	c.setCloseDeadline()
	c.state = draining
}

// putRaw queues bytes that are no frame, unless the connection is closing: its close frame must not
// come before them. Only while the loop handles this connection.
func (c *Conn) putRaw(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing != 0 {
		return false
	}
	o := c.ensureOutbox() // nothing can be in it yet
	copy(o.Extend(len(p)), p)
	o.partial = len(p)
	return true
}

func (c *Conn) releaseHead() {
	if h := c.transient; h != nil && h.head != nil {
		h.head.Release()
		h.head, h.scan = nil, 0
	}
}
