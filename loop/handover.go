package loop

import (
	"bytes"
	"net"
)

// handToHTTP gives a connection that asks for no WebSocket to the door's HTTP side, with the bytes
// read so far.
func (c *Conn) handToHTTP(read []byte) {
	fd, err := c.sock.Dup()
	if err != nil {
		c.closeNow()
		return
	}
	d := c.endpoint.door
	d.slots.unbind(c.id) // nobody finds c by it any more, and the slot goes with the descriptor
	c.marks.Or(markHanded)
	go d.handOver(fd, bytes.Clone(read), c.id)
	c.closeNow()
}

// handOver makes a net.Conn of a descriptor that left its loop and gives it to the HTTP side.
func (d *Door) handOver(fd int, read []byte, id ID) {
	nc, err := fileConn(fd)
	if err != nil {
		d.log.Warn("agloop: connection lost on its way to HTTP", "err", err)
		d.slots.release(id)
		return
	}
	d.http(&handedOver{Conn: nc, read: read, slots: d.slots, id: id})
}

// handedOver is a connection that left its loop: what was read comes first, and closing it releases
// its slot.
type handedOver struct {
	net.Conn
	read  []byte
	slots *Slots
	id    ID
}

func (h *handedOver) Read(p []byte) (int, error) {
	if len(h.read) > 0 {
		n := copy(p, h.read)
		h.read = h.read[n:]
		return n, nil
	}
	return h.Conn.Read(p)
}

func (h *handedOver) Close() error {
	err := h.Conn.Close()
	h.slots.release(h.id) // a second call does nothing
	return err
}
