package loop

import (
	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec"
)

// maxWrite is how much is handed to gnet in one call. What the kernel does not take
// of it gnet copies, so this bounds gnet's buffer of a slow reader.
const maxWrite = 128 << 10

// maxRaw is the most that is sent without the scheduler's knowledge.
const maxRaw = 16 << 10

// sendOut writes out to the kernel, from whatever goroutine this is. False means that the loop has to go on: with what
// the kernel had no room for, what gnet or the loop holds back, what someone waits for, or more than a small write.
// Under mu, which is what makes it safe: gnet closes the descriptor only after OnClose has taken mu and set
// isClosing. So the loop may wait for mu as long as the kernel takes, some microseconds.
func (c *Conn) sendOut(now int64) bool {
	q := c.out
	if c.flags&(isTaken|isFull|isOwed|isClosing) != 0 || q.Bytes() > maxRaw {
		return false
	}
	p, all := q.First()
	if !all {
		return false
	}
	l := c.loop
	l.countFrames(q) // before the peer can have them
	n := sendRaw(int(c.fd), p)
	if n == 0 {
		return false
	}
	c.noteWrite(q.Frames(), now)
	c.queued -= uint32(n)
	l.Counters.Writes.Add(1)
	l.Counters.BytesOut.Add(uint64(n))
	if n < len(p) {
		q.Discard(n)
		return false
	}
	l.measureWrite(q.Frames(), q.Since, now)
	c.flags &^= isDirty | isDelayed
	c.out = nil
	q.Free()
	return true
}

// sendLarge writes a large frame that nothing is before from where it lies, and queues what the kernel has no room for.
// False means that it did not try. Under mu, see sendOut.
func (c *Conn) sendLarge(op codec.Opcode, payload []byte) bool {
	if c.out != nil || c.flags&(isTaken|isFull|isOwed) != 0 || c.door.masks != nil {
		return false
	}
	var b [codec.MaxHeader]byte
	head := b[:codec.HeaderSize(len(payload), false)]
	codec.PutHeader(head, op, len(payload))
	l := c.loop
	l.Counters.FramesOut.Add(1)
	n := sendTwo(int(c.fd), head, payload)
	if n > 0 {
		l.Counters.Writes.Add(1)
		l.Counters.BytesOut.Add(uint64(n))
	}
	if n == len(head)+len(payload) {
		l.measureWrite(1, 0, 0)
		return true
	}
	c.out = batch.NewQueue()
	c.out.AddFrame()
	c.out.Counted = 1
	c.out.Append(head[min(n, len(head)):])
	c.out.Append(payload[max(n-len(head), 0):])
	c.queued += uint32(c.out.Bytes())
	return true
}

// countFrames counts each frame of q once, whoever tries to write it and how often.
func (l *Loop) countFrames(q *batch.Queue) {
	l.Counters.FramesOut.Add(uint64(q.Frames() - q.Counted))
	q.Counted = q.Frames()
}

// noteWrite remembers a write for the batch window. Under mu.
func (c *Conn) noteWrite(frames int, now int64) {
	if now == 0 {
		return
	}
	c.flushed = micros(now)
	if frames > 1 {
		c.flags &^= isLone
	} else {
		c.flags |= isLone
	}
}

// write hands q, behind what waits already, to the kernel until it takes no more. A nil q adds nothing.
func (c *Conn) write(q *batch.Queue) {
	if h := c.held; h != nil && h.unsent != nil {
		if q != nil {
			h.unsent.Splice(q)
			q.Free()
		}
		q, h.unsent = h.unsent, nil
	}
	l := c.loop
	written := 0
	for q != nil && c.sock.OutboundBuffered() == 0 {
		iov := q.Slices(l.iov[:0], maxWrite)
		l.iov = iov
		n := c.writeSlices(iov)
		clear(iov)
		if c.state == closed { // gnet closed it inside the call
			q.Free()
			return
		}
		l.Counters.Writes.Add(1)
		l.Counters.BytesOut.Add(uint64(n))
		written += n
		if q.Discard(n); q.Bytes() == 0 {
			q.Free()
			q = nil
		}
	}
	if q != nil {
		c.hold().unsent = q
	}
	c.settle(written)
}

// writeSlices writes all of iov, gnet keeping what the kernel has no room for, and returns its size.
func (c *Conn) writeSlices(iov [][]byte) (n int) {
	if len(iov) == 1 {
		p := iov[0]
		n = len(p)
		_, _ = c.sock.Write(p)
		return n
	}
	for _, p := range iov {
		n += len(p)
	}
	_, _ = c.sock.Writev(iov)
	return n
}
