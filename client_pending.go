package agloop

import (
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/run"
)

// item is one frame that waits for the caller of a sequence, or an error in its place.
type item struct {
	frame *bufpool.Buffer
	size  int   // memory that it takes, in bytes
	conn  *Conn // for which the ledger counts it; nil when none does

	// Of agloop.v1 alone.
	leg *leg       // the run it belongs to
	at  run.Cursor // behind it; zero for a frame that moves no cursor
	// binary is a frame of agloop.v1.proto.
	binary bool
	err    error // a run of a Follow that cannot be given
}

// pending is the items that wait for one sequence. Under the lock of its owner.
type pending struct {
	limit  int // bytes
	items  []item
	bytes  int           // the sizes of items
	signal chan struct{} // holds one token when something changed
}

func newPending(limit int) pending { return pending{limit: limit, signal: make(chan struct{}, 1)} }

// besides is what an item takes besides its bytes: the bufpool.Buffer itself, and a place in a list
// that doubles when it grows.
const besides = 80 + 2*64

// push keeps a copy of a frame for conn, and reports false when there is no room for it. One item
// may always wait.
func (p *pending) push(conn *Conn, payload []byte, it item) bool {
	it.frame = bufpool.Get(len(payload)).Append(payload)
	it.conn, it.size = conn, it.frame.Cap()+besides
	if p.put(it) {
		conn.Hold(it.size)
		return true
	}
	it.frame.Release()
	return false
}

// put is push of what is no frame and says its size.
func (p *pending) put(it item) bool {
	if p.bytes+it.size > p.limit && len(p.items) > 0 {
		return false
	}
	p.items = append(p.items, it)
	p.bytes += it.size
	p.notify()
	return true
}

// pop takes the first item, whose frame the caller releases.
func (p *pending) pop() (it item, ok bool) {
	if len(p.items) == 0 {
		return it, false
	}
	it = p.items[0]
	p.items[0] = item{}
	p.items = p.items[1:]
	p.bytes -= it.size
	it.unhold()
	return it, true
}

// drop releases everything.
func (p *pending) drop() {
	for i := range p.items {
		p.items[i].unhold()
		if f := p.items[i].frame; f != nil {
			f.Release()
		}
	}
	p.items, p.bytes = nil, 0
}

// disown takes what waits off the ledger: its connection has ended, and it may wait for long.
func (p *pending) disown() {
	for i := range p.items {
		p.items[i].unhold()
	}
}

// unhold takes an item off the ledger.
func (it *item) unhold() {
	if it.conn != nil {
		it.conn.Hold(-it.size)
		it.conn = nil
	}
}

// notify wakes who waits for an item.
func (p *pending) notify() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}
