package loop

import (
	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec"
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
func (c *Conn) Send(op codec.Opcode, payload []byte) SendResult {
	return c.message(op, payload, batched)
}

// maxPayload keeps Conn.queued, of 32 bits, from running over.
const maxPayload = 1 << 30

// SendNow is Send for the few messages that end something: they do not wait for the batch
// window, and have as much room again above the hard limit. Any goroutine.
func (c *Conn) SendNow(op codec.Opcode, payload []byte) SendResult {
	return c.message(op, payload, urgent)
}

func (c *Conn) message(op codec.Opcode, payload []byte, u urgency) SendResult {
	if op != codec.Text && op != codec.Binary || len(payload) > maxPayload {
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

// send is the one door from any goroutine into a loop.
func (c *Conn) send(op codec.Opcode, payload []byte, u urgency) SendResult {
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
		act, at := c.markCut(codec.CloseSlowReader)
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
func (c *Conn) put(op codec.Opcode, payload []byte) {
	if c.out == nil {
		c.out = batch.NewQueue()
		if c.marked(isCorked) { // a reply: more are likely, and all of it leaves with this turn
			c.out.Reserve(corkSize)
		}
	}
	masked := c.door.masks != nil
	head := codec.HeaderSize(len(payload), masked)
	c.out.AddFrame()
	c.queued += uint32(head + len(payload))
	if !masked && len(payload) > maxCopied {
		codec.PutHeader(c.out.Room(head), op, len(payload))
		c.out.Append(payload)
		return
	}
	room := c.out.Room(head + len(payload))
	copy(room[head:], payload)
	if masked {
		codec.PutMasked(room[:head], op, room[head:], c.door.masks.Next())
	} else {
		codec.PutHeader(room[:head], op, len(payload))
	}
}
