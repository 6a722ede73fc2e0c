package loop

import (
	"time"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec/frame"
)

// urgency says whether a frame may wait for others.
type urgency bool

const (
	batched urgency = false // the batch window applies
	urgent  urgency = true  // terminal events and control frames never wait
)

// Send queues one message; op is Text or Binary, others are dropped, and text must be
// valid UTF-8. payload is copied; more than 1 GiB is dropped. Any goroutine may call; messages leave in the order of the calls.
// While the handler of this connection runs, everything sent leaves in one
// write when it returns; otherwise the batch window decides (see Limits).
func (c *Conn) Send(op frame.Opcode, payload []byte) SendResult {
	return c.message(op, payload, batched)
}

// maxPayload keeps Conn.queued, of 32 bits, from running over.
const maxPayload = 1 << 30

// SendNow is Send for the few messages that end something: they do not wait for the batch
// window, and have as much room again above the hard limit. Any goroutine.
func (c *Conn) SendNow(op frame.Opcode, payload []byte) SendResult {
	return c.message(op, payload, urgent)
}

func (c *Conn) message(op frame.Opcode, payload []byte, u urgency) SendResult {
	if op != frame.Text && op != frame.Binary || len(payload) > maxPayload {
		return Dropped
	}
	return c.send(op, payload, u)
}

// Full tells whether Backpressure was answered and OnDrain is still to come.
func (c *Conn) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&isFull != 0
}

// Buffered is the number of bytes queued for the peer that the kernel has not
// taken yet, frame headers included. Any goroutine.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.queued)
}

// maxCopied is the largest payload, in bytes, that is copied to leave together with others. A larger one is a write of its
// own, from where it lies: copying it costs more than the call.
const maxCopied = 32 << 10

// corkSize is the first chunk of replies, in bytes.
const corkSize = 8 << 10

// what a push leads to, decided under mu and done after it.
type action uint8

const (
	wait   action = iota // the loop will come by anyway
	hurry                // it will, but should come at once
	wake                 // to the dirty list
	window               // to the delayed list
)

// send is the one door from any goroutine into a loop.
func (c *Conn) send(op frame.Opcode, payload []byte, u urgency) SendResult {
	c.mu.Lock()
	if c.flags&isClosing != 0 {
		c.mu.Unlock()
		return Dropped
	}
	tuned := c.door.tuned.Load()
	hard := tuned.HardLimit
	if u == urgent {
		hard *= 2 // a run's end must find room behind the largest event
	}
	if int(c.queued) >= hard {
		act, at := c.markCut(frame.CloseSlowReader)
		c.mu.Unlock()
		c.perform(act, at, urgent)
		return Dropped
	}
	if len(payload) <= maxCopied || !c.sendLarge(op, payload) {
		c.put(op, payload)
	} else if c.out == nil {
		c.mu.Unlock()
		return Sent
	}
	result := Sent
	if int(c.queued) > tuned.SoftLimit && !op.Control() {
		c.flags |= isFull
		result = Backpressure
	}
	act, at := c.schedule(u)
	switch {
	case act == wait:
	case (u == urgent || act == wake && c.flags&isLone != 0 && c.out.Frames() == 1) && c.sendOut(at):
		// It is gone already. A lone frame belongs to no burst that had better be gathered, and an urgent one waits for none.
		act = wait
	case c.out.Since == 0 && c.loop.measures.Load() != nil:
		c.out.Since = c.loop.eng.now()
	}
	c.mu.Unlock()
	c.perform(act, at, u)
	if result == Backpressure {
		c.loop.eng.pile()
	}
	return result
}

// put writes one frame to the end of the outbox. Under mu.
func (c *Conn) put(op frame.Opcode, payload []byte) {
	if c.out == nil {
		c.out = batch.NewQueue()
		if c.marked(isCorked) { // a reply: more are likely, and all of it leaves with this turn
			c.out.Reserve(corkSize)
		}
	}
	masked := c.door.masks != nil
	head := frame.HeaderSize(len(payload), masked)
	c.out.AddFrame()
	c.queued += uint32(head + len(payload))
	if !masked && len(payload) > maxCopied {
		frame.PutHeader(c.out.Room(head), op, len(payload))
		c.out.Append(payload)
		return
	}
	room := c.out.Room(head + len(payload))
	copy(room[head:], payload)
	if masked {
		frame.PutMasked(room[:head], op, room[head:], c.door.masks.Next())
	} else {
		frame.PutHeader(room[:head], op, len(payload))
	}
}

// sendLarge writes a large frame that nothing is before from where it lies, and queues what the kernel has no room for.
// False means that it did not try. Under mu, see sendOut.
func (c *Conn) sendLarge(op frame.Opcode, payload []byte) bool {
	if c.out != nil || c.flags&(isTaken|isFull|isOwed) != 0 || c.door.masks != nil {
		return false
	}
	var b [frame.MaxHeader]byte
	head := b[:frame.HeaderSize(len(payload), false)]
	frame.PutHeader(head, op, len(payload))
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

// schedule decides when the outbox is flushed. With window comes the time when, with wake the time now. Under mu.
func (c *Conn) schedule(u urgency) (action, int64) {
	switch {
	case c.marked(isCorked):
		return wait, 0
	case c.flags&isDirty != 0 && u == urgent:
		return hurry, c.loop.eng.now()
	case c.flags&isDirty != 0:
		return wait, 0
	}
	now := c.loop.eng.now()
	if u == batched {
		due := c.door.tuned.Load().Window.Due(c.out.Frames(), c.out.Bytes(), c.lastFlush(now), now)
		if due > now {
			if c.flags&isDelayed != 0 {
				return wait, 0
			}
			c.flags |= isDelayed
			return window, due
		}
	}
	c.flags |= isDirty
	return wake, now
}

func (c *Conn) perform(act action, at int64, u urgency) {
	switch act {
	case hurry:
		c.loop.call(u)
	case wake:
		c.loop.push(c, u)
	case window:
		c.loop.delay(c, at)
	}
}

// micros is the clock in the unit of Conn.flushed, which runs over every 71 minutes.
func micros(now int64) uint32 { return uint32(now / int64(time.Microsecond)) }

// longAgo is when a connection that wrote nothing yet is said to have done so: longer than any window.
const longAgo = int64(time.Minute)

// lastFlush is when out was last taken. A connection that then rested for a multiple of 71 minutes seems to have just
// been flushed, and a message to it may wait for one window. Under mu.
func (c *Conn) lastFlush(now int64) int64 {
	return now - int64(micros(now)-c.flushed)*int64(time.Microsecond)
}

// awaitsFlush tells whether a connection of the dirty list is still to be flushed.
func (c *Conn) awaitsFlush() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&isDirty != 0
}

// windowEnd is when the window of a delayed connection ends, or never when it
// was flushed meanwhile.
func (c *Conn) windowEnd(now int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&isDelayed == 0 {
		return never
	}
	// A window that shrank meanwhile may be over by its size: then at once, which is any
	// time past.
	return c.door.tuned.Load().Window.Due(c.out.Frames(), c.out.Bytes(), c.lastFlush(now), 0)
}
