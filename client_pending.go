package agloop

import (
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/run"
)

// item is one frame that waits for the caller of a sequence.
type item struct {
	frame *bufpool.Buffer
	conn  *Conn // for which the ledger counts it; nil when none does

	// Of agloop.v1 alone.
	leg *leg       // the run it belongs to
	at  run.Cursor // behind it; zero for a frame that moves no cursor
	err error      // in place of a frame: a run of a Follow that cannot be given
}

// pending is the frames that wait for one sequence. Under the lock of its owner.
type pending struct {
	limit  int // bytes
	items  []item
	bytes  int           // that items take, see eventSize
	signal chan struct{} // holds one token when something changed
}

func newPending(limit int) pending { return pending{limit: limit, signal: make(chan struct{}, 1)} }

// push keeps a copy of a frame, and reports false when there is no room for it. One frame may
// always wait.
func (p *pending) push(payload []byte, it item) bool {
	it.frame = bufpool.Get(len(payload)).Append(payload)
	size := eventSize(it.frame)
	if p.bytes+size > p.limit && len(p.items) > 0 {
		it.frame.Release()
		return false
	}
	p.items = append(p.items, it)
	p.bytes += size
	it.conn.Hold(size)
	p.notify()
	return true
}

// pushError has err yielded behind what waits.
func (p *pending) pushError(it item) {
	p.items = append(p.items, it)
	p.notify()
}

// pop takes the first item, whose frame the caller releases.
func (p *pending) pop() (it item, ok bool) {
	if len(p.items) == 0 {
		return it, false
	}
	it = p.items[0]
	p.items[0] = item{}
	p.items = p.items[1:]
	p.unhold(&it)
	if it.frame != nil {
		p.bytes -= eventSize(it.frame)
	}
	return it, true
}

// drop releases everything.
func (p *pending) drop() {
	for i := range p.items {
		p.unhold(&p.items[i])
		if f := p.items[i].frame; f != nil {
			f.Release()
		}
	}
	p.items, p.bytes = nil, 0
}

// disown takes what waits off the ledger: its connection has ended, and it may wait for long.
func (p *pending) disown() {
	for i := range p.items {
		p.unhold(&p.items[i])
	}
}

func (p *pending) unhold(it *item) {
	if it.conn != nil && it.frame != nil {
		it.conn.Hold(-eventSize(it.frame))
	}
	it.conn = nil
}

// notify wakes who waits for an item.
func (p *pending) notify() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// eventSize is the memory that an event takes while it waits, in bytes: its buffer, and besides the
// bufpool.Buffer itself and an item of a list that doubles when it grows.
func eventSize(f *bufpool.Buffer) int {
	const besides = 80 + 2*64
	return f.Cap() + besides
}
