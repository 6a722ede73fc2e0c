package agloop

import (
	"container/list"
	"context"
	"net/url"
)

// pool gives connections to runs, each to one run at a time. All under Transport.mu.
type pool struct {
	remotes []*remote
	waiters list.List // of chan *link: the runs that wait, first come first served
	up      int       // connections up
	busy    int       // connections with a run
	picks   uint64    // how often a connection was given to a run
}

// remote is one URL and its connections.
type remote struct {
	// Immutable.
	url  string
	name string // url without what may be secret

	// Any goroutine, under Transport.mu.
	free     list.List // of *link, the longest free first
	busy     int
	lastPick uint64 // pool.picks when a connection of it was given to a run last
	lastErr  error  // of dialling
}

func newRemote(rawURL string) *remote {
	r := &remote{url: rawURL}
	if u, err := url.Parse(rawURL); err == nil {
		r.name = publicURL(u)
	}
	return r
}

// takeFree gives a free connection to a run, or returns nil. It prefers the URL with the fewest
// runs, then the one with the oldest lastPick, and there the connection that is free for longest.
func (p *pool) takeFree() *link {
	var best *remote
	for _, r := range p.remotes {
		if r.free.Len() > 0 && (best == nil || r.busy < best.busy || r.busy == best.busy && r.lastPick < best.lastPick) {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	l := best.free.Front().Value.(*link)
	p.assign(l)
	return l
}

// assign gives l to a run.
func (p *pool) assign(l *link) {
	r := l.slot.remote
	if l.freeElement != nil {
		r.free.Remove(l.freeElement)
		l.freeElement = nil
	}
	p.picks++
	r.lastPick = p.picks
	r.busy++
	p.busy++
	l.busy.Store(true)
	l.slot.holds = !l.bare.Load()
}

// makeFree gives a connection that no run uses to the first waiter, or keeps it for a later one.
func (p *pool) makeFree(l *link) {
	if first := p.waiters.Front(); first != nil {
		p.waiters.Remove(first)
		p.assign(l)
		first.Value.(chan *link) <- l // it has a buffer for one
		return
	}
	l.freeElement = l.slot.remote.free.PushBack(l)
}

// release ends the use of a connection by a run.
func (p *pool) release(l *link) {
	l.busy.Store(false)
	s := l.slot
	s.remote.busy--
	p.busy--
	if s.holds { // its connection may be another one now, or none
		s.holds = false
		l = s.link
	}
	if l != nil && !l.gone && !l.unusable {
		p.makeFree(l)
	}
}

// linkGone removes a connection that has ended.
func (p *pool) linkGone(l *link) {
	p.up--
	if l.freeElement != nil {
		l.slot.remote.free.Remove(l.freeElement)
		l.freeElement = nil
	}
}

// closeWaiters makes all waiters return ErrTransportClosed.
func (p *pool) closeWaiters() {
	for first := p.waiters.Front(); first != nil; first = p.waiters.Front() {
		close(p.waiters.Remove(first).(chan *link))
	}
}

// acquire takes a connection for a run. While all are busy it waits, first come first served.
func (t *Transport) acquire(ctx context.Context) (*link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	if t.state != transportRunning {
		t.mu.Unlock()
		return nil, ErrTransportClosed
	}
	if l := t.pool.takeFree(); l != nil { // while one is free nobody waits
		t.mu.Unlock()
		return l, nil
	}
	ready := make(chan *link, 1)
	waiter := t.pool.waiters.PushBack(ready)
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
		t.pool.waiters.Remove(waiter)
	}
	return nil, ctx.Err()
}
