package loop

import (
	"sync"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec/frame"
)

// urgency is whether a frame may wait for others.
type urgency bool

const (
	batched urgency = false // the batch window applies
	urgent  urgency = true  // terminal events and control frames never wait
)

// outbox is the one queue of a connection: whole frames, as they go on the wire, and what is left
// of the one that is partly written. A connection has one only while something waits. All of it is
// under Conn.mu.
type outbox struct {
	batch.Queue
	partial int  // bytes left of the frame that is partly written; 0: the next byte begins a frame
	raw     bool // it holds no frames, see response.go

	ahead   int // bytes that are below the queue, in the layers
	counted int // bytes of memory in the ledger

	pong     []byte // payload of the latest ping that found much waiting
	owesPong bool   // it is to be answered at the next frame boundary

	// While the kernel has no room, see blocked.go.
	blocked bool   // the poller says when to go on
	tryAt   int    // with so many bytes a turn tries once more
	token   uint64 // by which it knows the connection; 0: it does not
	moved   uint32 // tick at which the peer was last seen to take something; 0: it need not be asked yet
	acked   uint64 // what it had acknowledged then
}

var outboxes = sync.Pool{New: func() any { return new(outbox) }}

// ensureOutbox returns the outbox, a new one if there is none. Under mu.
func (c *Conn) ensureOutbox() *outbox {
	o := c.out.Load()
	if o == nil {
		o = outboxes.Get().(*outbox)
		c.out.Store(o)
	}
	return o
}

// dropOutbox gives the outbox back, with whatever is in it. Under mu.
func (c *Conn) dropOutbox() {
	if o := c.out.Load(); o != nil {
		c.out.Store(nil)
		if o.token != 0 { // it was written without its event
			c.loop.poller.unwatch(o.token)
		}
		c.Hold(-o.counted)
		o.Reset()
		*o = outbox{Queue: o.Queue, pong: o.pong[:0]}
		outboxes.Put(o)
	}
}

// size is the number of bytes that wait, 0 for no outbox.
func (o *outbox) size() int {
	if o == nil {
		return 0
	}
	return o.Bytes() + o.ahead
}

// advance drops the first n bytes, which are written, and keeps track of where frames begin.
func (o *outbox) advance(n int) {
	switch {
	case n == o.Bytes() || o.raw:
		o.partial = 0
	case n < o.partial:
		o.partial -= n
	default:
		at := o.partial
		for at < n {
			at += frame.SizeOf(o.From(at))
		}
		o.partial = at - n
	}
	o.Discard(n)
}

// answerPing puts the pong that is owed before what waits. Call it between frames.
func (o *outbox) answerPing(masks *frame.Masks) {
	var b [frame.MaxHeader + frame.MaxControl]byte
	o.Insert(0, putFrame(b[:], frame.Pong, o.pong, masks))
	o.AddFrame()
	o.owesPong = false
}

// putFrame writes one frame to the start of b, which has room for it, and returns it.
func putFrame(b []byte, op frame.Opcode, payload []byte, masks *frame.Masks) []byte {
	head := frame.HeaderSize(len(payload), masks != nil)
	b = b[:head+copy(b[head:], payload)]
	if masks != nil {
		frame.PutMasked(b[:head], op, b[head:], masks.Next())
	} else {
		frame.PutHeader(b[:head], op, len(payload))
	}
	return b
}

// Send queues one message; op is Text or Binary, others are dropped, and text must be valid UTF-8.
// payload is copied; more than 1 GiB is dropped, and so is all on a connection that carries a response of HTTP. Any goroutine may call; messages leave in the
// order of the calls. While the handler of this connection runs, everything sent leaves in one
// write when it returns; otherwise the batch window decides (see Limits).
func (c *Conn) Send(op frame.Opcode, payload []byte) SendResult {
	return c.message(op, payload, batched)
}

// maxPayload is what a frame of ours may carry, in bytes.
const maxPayload = 1 << 30

// SendNow is Send for the few messages that end something: they do not wait for the batch window,
// and have as much room again above the hard limit. Any goroutine.
func (c *Conn) SendNow(op frame.Opcode, payload []byte) SendResult {
	return c.message(op, payload, urgent)
}

func (c *Conn) message(op frame.Opcode, payload []byte, u urgency) SendResult {
	if op != frame.Text && op != frame.Binary || len(payload) > maxPayload || c.marked(markResponse) {
		return Dropped
	}
	c.catchUp()
	return c.send(op, payload, u)
}

// catchUp has what feeds the connection deliver what is on its way. Any goroutine.
func (c *Conn) catchUp() {
	if c.marked(markFed) {
		c.endpoint.feed.CatchUp(c)
	}
}

// Full reports whether Backpressure was answered and OnDrain is still to come. Any goroutine.
func (c *Conn) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outFlags&outFull != 0
}

// Buffered is the number of bytes queued for the peer that the kernel has not taken yet, frame
// headers included. Any goroutine.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Load().size()
}

const (
	// maxCopied is the largest payload, in bytes, that is copied to leave together with others. A
	// larger one is a write of its own, from where it lies: copying it costs more than the call.
	maxCopied = 32 << 10
	// corkFirst is the first chunk of what a turn sends, in bytes.
	corkFirst = 8 << 10
	// turnRoom multiplies the hard limit while the loop handles what the peer has sent: a peer that
	// sends many requests and reads the replies as they come is not slow, but the loop answers
	// sooner than it can read. It covers replies of 1 KB to a whole read of requests of 20 bytes.
	turnRoom = 16
	// corkFull is how many bytes are gathered at most: who adds the last of them writes.
	corkFull = 64 << 10
)

// send queues one frame and has it leave when it is due. Any goroutine.
func (c *Conn) send(op frame.Opcode, payload []byte, u urgency) SendResult {
	result, act, at := c.enqueue(op, payload, u)
	c.perform(act, at)
	return result
}

// enqueue queues one frame, or writes it at once where nothing is gained by waiting, and says what
// is to be done after mu is released.
func (c *Conn) enqueue(op frame.Opcode, payload []byte, u urgency) (result SendResult, act action, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing != 0 {
		return Dropped, actNone, 0
	}
	tuned := c.endpoint.tuned.Load()
	hard := tuned.HardLimit
	if u == urgent {
		hard *= 2 // a run's end must find room behind the largest event
	}
	marks := c.marks.Load()
	if marks&markCorked != 0 {
		hard *= turnRoom
	}
	if c.out.Load().size() >= hard {
		return Dropped, c.markCut(frame.CloseSlowReader), 0
	}
	act, at = c.queue(op, nil, payload, u, marks)
	if marks&markCorked == 0 { // what a turn gathers is counted when it ends
		c.countOut()
	}
	much := c.out.Load().size() > tuned.SoftLimit
	if marks&markCorked != 0 { // a callback that sends until it is told to stop must not keep its loop for ever
		much = c.loop.gathered.Add(int64(len(payload))) > int64(tuned.SoftLimit) || much
	}
	if much && !op.Control() {
		c.outFlags |= outFull
		return Backpressure, act, at
	}
	return Sent, act, at
}

// queue queues one frame, with a selector's before it if there is one, or writes it at once where
// nothing is gained by waiting, and says what is left to be done. Under mu.
func (c *Conn) queue(op frame.Opcode, selector, payload []byte, u urgency, marks uint32) (act action, at int64) {
	if c.out.Load() == nil && len(payload) > maxCopied && c.endpoint.masks == nil && marks&(markReplying|markResponse) == 0 && !c.layers().deflates() {
		act = c.afterWrite(c.writeLarge(op, selector, payload))
	} else {
		c.put(op, selector, payload)
		act, at = c.schedule(u)
		act, at = c.writeIfDue(u, marks, act, at)
	}
	if act == actFlush {
		c.outFlags |= outDirty
	}
	return act, at
}

// writeIfDue writes the outbox where nothing is gained by waiting. act is what would be done with it
// otherwise, at the given time; it returns what is left to be done. Under mu.
func (c *Conn) writeIfDue(u urgency, marks uint32, act action, at int64) (action, int64) {
	o := c.out.Load()
	single := c.outFlags&outSingle != 0 && o.Frames() == 1 // it belongs to no burst that is worth gathering
	switch {
	case marks&markReplying != 0:
		// What is corked must leave first, which only the loop can do.
	case o.blocked && (marks&markCorked == 0 || o.Bytes() < o.tryAt):
		// The poller says when there is room.
	case o.Bytes() >= corkFull, act == actFlush && (u == urgent || single):
		if act == actDelay {
			c.outFlags &^= outDelayed // there is nothing to wait for
			at = c.loop.eng.now()
		}
		act = c.afterWrite(c.writeOut(at))
	case act != actNone && o.Since == 0 && c.loop.measures.Load() != nil:
		o.Since = c.loop.eng.now()
	}
	return act, at
}

// queueMasks are the masks of frames that wait, nil for none: those that may be compressed get theirs
// behind that. Under mu.
func (c *Conn) queueMasks() *frame.Masks {
	if c.layers().deflates() {
		return nil
	}
	return c.endpoint.masks
}

// put writes one frame to the end of the outbox, behind a selector's if there is one: both count as
// one, since neither says anything without the other. Under mu.
func (c *Conn) put(op frame.Opcode, selector, payload []byte) {
	o := c.ensureOutbox()
	if o.Bytes() == 0 && c.marked(markCorked) { // a reply: more are likely, and all of it leaves with this turn
		o.Reserve(corkFirst)
	}
	if c.marked(markResponse) {
		o.raw = true
		o.AddFrame()
		o.Append(payload)
		return
	}
	masks, compressed := c.queueMasks(), false
	if ly := c.layers(); ly.deflates() {
		compressed = ly.deflating.wants(c.endpoint, op, payload)
	}
	if len(selector) > 0 {
		putFrame(o.Extend(frame.HeaderSize(len(selector), masks != nil)+len(selector)), op, selector, masks)
	}
	head := frame.HeaderSize(len(payload), masks != nil)
	o.AddFrame()
	if masks == nil && len(payload) > maxCopied {
		b := o.Extend(head)
		frame.PutHeader(b, op, len(payload))
		markDeflate(b, compressed)
		o.Append(payload)
		return
	}
	markDeflate(putFrame(o.Extend(head+len(payload)), op, payload, masks), compressed)
}
