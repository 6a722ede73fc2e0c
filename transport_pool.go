package agloop

import (
	"container/list"
	"context"
	"net/url"
)

// pool hands connections to runs, one run at a time for each. All under Transport.mu.
type pool struct {
	origins []*origin
	waiters list.List // of chan *link: the runs that wait, first come first served
	up      int       // connections up
	busy    int       // connections with a run
	turn    uint64    // of the last pick
}

// origin is one URL and its connections.
type origin struct {
	// Immutable.
	url  string
	name string // url without what may be secret

	// Any goroutine, under Transport.mu.
	free    list.List // of *link, the longest free first
	busy    int
	turn    uint64 // of the last pick
	lastErr error  // of dialling
}

func newOrigin(rawURL string) *origin {
	o := &origin{url: rawURL}
	if u, err := url.Parse(rawURL); err == nil {
		o.name = u.Scheme + "://" + u.Host + u.Path
	}
	return o
}

// pick takes a free connection, or nil: of the URL with the fewest runs, then of
// the one whose turn is longest ago, the connection that has been free for the longest time.
func (p *pool) pick() *link {
	var best *origin
	for _, o := range p.origins {
		if o.free.Len() > 0 && (best == nil || o.busy < best.busy || o.busy == best.busy && o.turn < best.turn) {
			best = o
		}
	}
	if best == nil {
		return nil
	}
	l := best.free.Front().Value.(*link)
	p.remove(l)
	return l
}

// take gives l to a run.
func (p *pool) remove(l *link) {
	o := l.slot.origin
	if l.place != nil {
		o.free.Remove(l.place)
		l.place = nil
	}
	p.turn++
	o.turn = p.turn
	o.busy++
	p.busy++
	l.taken.Store(true)
}

// offer gives a connection nobody uses to the first waiter, or sets it free.
func (p *pool) offer(l *link) {
	if first := p.waiters.Front(); first != nil {
		p.waiters.Remove(first)
		p.remove(l)
		first.Value.(chan *link) <- l // has room for one
		return
	}
	l.place = l.slot.origin.free.PushBack(l)
}

// giveBack ends the use of a connection by a run.
func (p *pool) giveBack(l *link) {
	l.taken.Store(false)
	l.slot.origin.busy--
	p.busy--
	if !l.gone && !l.closing {
		p.offer(l)
	}
}

// drop removes a connection that is no longer there.
func (p *pool) drop(l *link) {
	p.up--
	if l.place != nil {
		l.slot.origin.free.Remove(l.place)
		l.place = nil
	}
}

// abandon tells all waiters that nothing will come.
func (p *pool) abandon() {
	for first := p.waiters.Front(); first != nil; first = p.waiters.Front() {
		close(p.waiters.Remove(first).(chan *link))
	}
}

// acquire takes a connection for a run, waiting its turn while all are busy.
func (t *Transport) acquire(ctx context.Context) (*link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	if t.state != transportRunning {
		t.mu.Unlock()
		return nil, ErrTransportClosed
	}
	if l := t.pool.pick(); l != nil { // none is free while somebody waits
		t.mu.Unlock()
		return l, nil
	}
	ready := make(chan *link, 1)
	place := t.pool.waiters.PushBack(ready)
	t.mu.Unlock()

	select {
	case l := <-ready:
		if l == nil {
			return nil, ErrTransportClosed
		}
		return l, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case l := <-ready: // it came at the same moment
		if l != nil {
			t.pool.giveBack(l)
		}
	default:
		t.pool.waiters.Remove(place)
	}
	return nil, ctx.Err()
}
