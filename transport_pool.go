package agloop

import (
	"container/list"
	"context"
	"net/url"
)

// pool hands connections to runs, one run at a time for each. All under Transport.mu.
type pool struct {
	remotes []*remote
	waiters list.List // of chan *link: the runs that wait, first come first served
	up      int       // connections up
	busy    int       // connections with a run
	picks   uint64    // of the last pick
}

// origin is one URL and its connections.
type remote struct {
	// Immutable.
	url  string
	name string // url without what may be secret

	// Any goroutine, under Transport.mu.
	free     list.List // of *link, the longest free first
	busy     int
	lastPick uint64 // of the last pick
	lastErr  error  // of dialling
}

func newRemote(rawURL string) *remote {
	o := &remote{url: rawURL}
	if u, err := url.Parse(rawURL); err == nil {
		o.name = u.Scheme + "://" + u.Host + u.Path
	}
	return o
}

// pick takes a free connection, or nil: of the URL with the fewest runs, then of
// the one whose turn is longest ago, the connection that has been free for the longest time.
func (p *pool) takeFree() *link {
	var best *remote
	for _, o := range p.remotes {
		if o.free.Len() > 0 && (best == nil || o.busy < best.busy || o.busy == best.busy && o.lastPick < best.lastPick) {
			best = o
		}
	}
	if best == nil {
		return nil
	}
	l := best.free.Front().Value.(*link)
	p.assign(l)
	return l
}

// take gives l to a run.
func (p *pool) assign(l *link) {
	o := l.slot.remote
	if l.freeElement != nil {
		o.free.Remove(l.freeElement)
		l.freeElement = nil
	}
	p.picks++
	o.lastPick = p.picks
	o.busy++
	p.busy++
	l.busy.Store(true)
}

// offer gives a connection nobody uses to the first waiter, or sets it free.
func (p *pool) makeFree(l *link) {
	if first := p.waiters.Front(); first != nil {
		p.waiters.Remove(first)
		p.assign(l)
		first.Value.(chan *link) <- l // has room for one
		return
	}
	l.freeElement = l.slot.remote.free.PushBack(l)
}

// giveBack ends the use of a connection by a run.
func (p *pool) release(l *link) {
	l.busy.Store(false)
	l.slot.remote.busy--
	p.busy--
	if !l.gone && !l.closing {
		p.makeFree(l)
	}
}

// drop removes a connection that is no longer there.
func (p *pool) linkGone(l *link) {
	p.up--
	if l.freeElement != nil {
		l.slot.remote.free.Remove(l.freeElement)
		l.freeElement = nil
	}
}

// abandon tells all waiters that nothing will come.
func (p *pool) closeWaiters() {
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
	if l := t.pool.takeFree(); l != nil { // none is free while somebody waits
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
			t.pool.release(l)
		}
	default:
		t.pool.waiters.Remove(place)
	}
	return nil, ctx.Err()
}
