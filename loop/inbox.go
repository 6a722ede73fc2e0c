package loop

import (
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
)

// Inbox takes the messages of one connection off its loop: a goroutine works on them, one at a time and in
// their order, and may block. There is one only while messages wait. When many bytes wait, the reading of
// the connection is paused until half of them are worked off, so that TCP stops the peer. Make it in
// OnOpen, keep it with Conn.SetUser, Put what OnMessage is given, and Close it in OnClose unless what waits
// is to be worked on nevertheless.
type Inbox struct {
	// Immutable.
	conn  *Conn
	limit int
	work  func(op frame.Opcode, payload []byte)

	// Any goroutine, under mu.
	mu      sync.Mutex
	waiting []inboxMessage
	bytes   int  // of those that wait, and of the one that is worked on
	working bool // there is a goroutine
	paused  bool // because of bytes
	closed  bool
}

type inboxMessage struct {
	op      frame.Opcode
	payload *bufpool.Buffer
}

// defaultInboxLimit is the limit of an Inbox for which none is given, in bytes.
const defaultInboxLimit = 64 << 10

// messageCost is what a message counts beside its payload, in bytes.
const messageCost = 64

// NewInbox returns the inbox of a connection. Reading pauses when limit bytes wait, so that one message
// more than that may be held, and where a peer has gone what it sent before it went; 0 or less is
// 64 KiB. They count as held by the connection. A message counts with 64 bytes beside its
// payload. work is called in goroutines of the inbox; payload is valid until it returns. A panic in it
// closes the connection with 1011.
func NewInbox(c *Conn, limit int, work func(op frame.Opcode, payload []byte)) *Inbox {
	if limit <= 0 {
		limit = defaultInboxLimit
	}
	return &Inbox{conn: c, limit: limit, work: work}
}

// Put has a message worked on. It copies the payload. After Close it does nothing. Any goroutine; OnMessage
// is where the messages are in order.
func (b *Inbox) Put(op frame.Opcode, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	m := inboxMessage{op, bufpool.Get(len(payload)).Append(payload)}
	b.waiting = append(b.waiting, m)
	b.count(m.cost())
	if !b.paused && b.bytes >= b.limit {
		b.paused = true
		b.conn.PauseReading()
	}
	if !b.working {
		b.working = true
		go b.runAfter(inboxMessage{})
	}
}

// Close drops the messages that wait. Work that is under way goes on, and nothing is worked on after it.
// Any goroutine.
func (b *Inbox) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, m := range b.waiting {
		b.release(m)
	}
	b.waiting = nil
}

func (m inboxMessage) cost() int { return cap(m.payload.B) + messageCost }

// count notes that so many bytes more are held. Under mu.
func (b *Inbox) count(n int) {
	b.bytes += n
	b.conn.Hold(n)
}

// release gives up a message. Under mu.
func (b *Inbox) release(m inboxMessage) {
	b.count(-m.cost())
	m.payload.Release()
}

// runAfter works on messages until none is left, when the work on one has ended.
func (b *Inbox) runAfter(now inboxMessage) {
	defer func() {
		if now.payload == nil {
			return // all is done
		}
		if v := recover(); v != nil {
			b.conn.notePanic(v)
			b.conn.Close(frame.CloseInternal, "")
			b.Close()
		}
		go b.runAfter(now) // this goroutine ends, by runtime.Goexit if not by a panic
	}()
	for {
		var ok bool
		if now, ok = b.next(now); !ok {
			return
		}
		b.work(now.op, now.payload.B)
	}
}

// next gives up the message that was worked on, and takes the next one; false means that there is none.
func (b *Inbox) next(done inboxMessage) (inboxMessage, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done.payload != nil {
		b.release(done)
	}
	if b.paused && b.bytes <= b.limit/2 {
		b.paused = false
		b.conn.ResumeReading()
	}
	if len(b.waiting) == 0 {
		b.waiting, b.working = nil, false
		return inboxMessage{}, false
	}
	m := b.waiting[0]
	b.waiting[0] = inboxMessage{}
	b.waiting = b.waiting[1:]
	return m, true
}
