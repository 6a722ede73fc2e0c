package loop

import (
	"errors"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// handshake takes bytes of a request head and, when it is whole, answers it. The bytes behind it
// are left to the next state.
func (c *Conn) handshake(view []byte) (n int) {
	c.loop.owner.check()
	head, all, scan := view, view, 0
	if c.transient != nil && c.transient.head != nil {
		c.transient.head = c.transient.head.Append(view)
		all, scan = c.transient.head.B, c.transient.scan
	}
	size, next, err := handshake.ScanHead(all, scan, c.endpoint.door.head)
	switch {
	case err != nil:
		c.refuse(err)
		return len(view)
	case size == 0:
		h := c.ensureTransient()
		if h.head == nil {
			h.head = bufpool.Get(len(view)).Append(view)
		}
		h.scan = next
		return len(view)
	}
	head = all[:size]
	n = len(view) - (len(all) - size)

	req := &c.loop.request
	var upgrade bool
	*req, upgrade, err = handshake.ParseRequest(head)
	switch {
	case !upgrade || string(req.Path) != c.endpoint.door.path && c.endpoint.door.path != AnyPath:
		c.handToHTTP(all)
		return len(view)
	case err != nil:
		c.refuse(err)
		return len(view)
	}
	if err := c.admit(req); err != nil {
		c.refuse(err)
		return len(view)
	}
	if c.state == closed { // Close came first
		return len(view)
	}
	c.releaseHead()
	c.established()
	return n
}

// admit asks the origin policy and the host, and queues the 101.
func (c *Conn) admit(req *handshake.Request) error {
	d := c.endpoint.door
	if err := d.origins.Check(req.Origin, req.Host, false); err != nil {
		return err
	}
	if d.authorize != nil {
		user, err := d.authorize(req)
		if err != nil {
			return err
		}
		c.user = user
	}
	proto := handshake.SelectProtocol(d.protocols, req)
	var b [256]byte
	if !c.putRaw(handshake.AppendSwitchingProtocols(b[:0], req.Key, proto)) {
		c.closeNow()
	}
	return nil
}

// refuse answers a bad handshake and ends the connection.
func (c *Conn) refuse(err error) {
	c.loop.Counters.BadUpgrade.Add(1)
	ue, ok := errors.AsType[*handshake.UpgradeError](err)
	if !ok {
		ue = &handshake.UpgradeError{Status: 403, Reason: "refused"}
	}
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
	if c.transient != nil && c.transient.head != nil {
		c.transient.head.Release()
		c.transient.head = nil
	}
}
