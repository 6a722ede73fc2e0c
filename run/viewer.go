package run

import "sort"

// Frame is one event on its way to a viewer.
type Frame struct {
	Event []byte // borrowed until Offer returns
	// First and Through are the offsets it stands for, see Entry.
	First, Through uint64
	Epoch          uint64
	Last           uint64 // offset of the log's last event now
	Terminal       bool   // it ends the run
}

// Alone reports whether the frame stands for other than one offset, and so needs a selector of its
// own.
func (f *Frame) Alone() bool { return f.First != f.Through }

// Offered is what became of an event that was offered.
type Offered uint8

const (
	// OutletGone: nothing is sent to the viewer any more.
	OutletGone Offered = iota
	// OutletTook: it is on its way.
	OutletTook
	// OutletFull: it was not taken. Who has the outlet calls Viewer.Pull when there is room.
	OutletFull
)

// Outlet is where the events of a viewer go: the outbox of a connection, an SSE response, another
// node. Its methods are called by any goroutine, one at a time, and must not call the viewer.
type Outlet interface {
	// Offer queues a copy of one event if there is room. It must not block.
	Offer(f *Frame) Offered
	// Ended tells that nothing follows: the terminal event is queued (nil), or the viewer left or
	// was sent away (ErrGone, perhaps wrapped). It is called once, and must not block.
	Ended(why error)
}

// Viewer is one attachment to a log: what it has been sent, and what comes next. Its methods may be
// called from any goroutine.
type Viewer struct {
	// Immutable.
	log *liveLog
	out Outlet

	// Any goroutine, under the log's mu.
	next  uint64   // offset of the next event
	seen  int64    // bytes of all events before it, about
	lead  [][]byte // of the prelude, what is still to be sent
	led   int      // frames of the prelude that were sent
	at    int      // in the log's viewers
	state viewerState
}

type viewerState uint8

const (
	viewerBehind viewerState = iota // it pulls
	viewerLevel                     // it is sent to
	viewerAway                      // it is coming back: nothing is sent to it
	viewerLeft
)

// attach adds a viewer that has applied everything up to a cursor. fromStart is who joins at the
// start and did not start the run: it is given the prelude. The viewer pulls when it is told to. The
// error is ErrGone, wrapped, or errReleased.
func (l *liveLog) attach(at Cursor, fromStart bool, out Outlet) (*Viewer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &Viewer{log: l, out: out, next: at.Offset + 1}
	switch {
	case l.released:
		return nil, errReleased
	case at != Cursor{} && at.Epoch != l.epoch:
		return nil, ErrOtherEpoch
	case at.Offset > l.last():
		return nil, ErrFuture
	case at.Offset < l.trimmed:
		return nil, ErrTrimmed
	case l.ended && at.Offset == l.last():
		return nil, ErrBuried
	case at.Offset == 0 && fromStart:
		v.lead = l.prelude
	}
	v.seen = l.written - l.bytesFrom(v.next)
	v.at = len(l.viewers)
	l.viewers = append(l.viewers, v)
	l.look()
	return v, nil
}

// Last is the offset of the log's last event now.
func (v *Viewer) Last() uint64 {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	return v.log.last()
}

// bytesFrom is how many bytes the newest events from an offset on have, all of them for what is
// older. Under mu.
func (l *liveLog) bytesFrom(offset uint64) (n int64) {
	for i := range l.newest {
		if l.first+uint64(i) >= offset {
			n += int64(len(l.newest[i]))
		}
	}
	return n
}

// pullAtOnce is how much a viewer pulls before others have their turn, in bytes.
const pullAtOnce = 16 << 10

// Pull sends a viewer what it is behind by, about 16 KiB at a time. It reports whether there is
// more for it, and room.
func (v *Viewer) Pull() (more bool) {
	l := v.log
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.look()
	for sent := 0; sent < pullAtOnce; {
		if v.state != viewerBehind {
			return false
		}
		f := &l.frame
		if err := l.frameAt(v, f); err != nil {
			l.detach(v, err)
			return false
		}
		if f.Event == nil {
			v.state = viewerLevel
			return false
		}
		if !l.offer(v, f) {
			return false
		}
		sent += len(f.Event)
	}
	return v.state == viewerBehind
}

// frameAt fills f with what comes next for v; without an Event there is nothing yet. Under mu.
func (l *liveLog) frameAt(v *Viewer, f *Frame) error {
	switch {
	case v.leads() && v.led == 0:
		*f = Frame{Event: v.lead[0], First: 1, Through: 1}
	case v.leads():
		*f = Frame{Event: v.lead[v.led], First: v.next, Through: v.next - 1}
	case v.next > l.last():
		f.Event = nil
		return nil
	case v.next <= l.trimmed:
		return ErrTrimmed
	case v.next >= l.first:
		i := v.next - l.first
		*f = Frame{Event: l.newest[i], First: v.next, Through: v.next}
	default:
		i := sort.Search(len(l.older), func(i int) bool { return l.older[i].Through >= v.next })
		if i == len(l.older) || l.older[i].First > v.next {
			return ErrTrimmed
		}
		e := l.older[i]
		if e.First < v.next {
			var ok bool
			if e, ok = e.rest(v.next - 1); !ok {
				return ErrTrimmed
			}
		}
		*f = Frame{Event: e.Event, First: e.First, Through: e.Through}
	}
	f.Epoch, f.Last = l.epoch, l.last()
	if l.ended && f.Through == l.last() && f.Through >= f.First {
		f.Terminal = true
		if l.terminal != nil {
			f.Event = l.terminal
		}
	}
	return nil
}

// leads reports whether some of the prelude is still to be sent. Under mu.
func (v *Viewer) leads() bool { return v.led < len(v.lead) }

// offer sends one frame to a viewer and reports whether it took it and goes on. Who calls it looks
// afterwards whether the producer is to wait: with many viewers that is no look for each. Under mu.
func (l *liveLog) offer(v *Viewer, f *Frame) bool {
	switch v.out.Offer(f) {
	case OutletFull:
		v.state = viewerBehind
		return false
	case OutletGone:
		l.detach(v, ErrGone)
		return false
	}
	if v.leads() {
		v.led++
	}
	v.next = max(v.next, f.Through+1)
	v.seen += int64(len(f.Event))
	if v.next > l.last() || v.seen > l.written {
		v.seen = l.written
	}
	if f.Terminal {
		l.detach(v, nil)
		return false
	}
	return true
}

// sendLevel sends the last event to the viewers that are level. Under mu.
func (l *liveLog) sendLevel() {
	if len(l.viewers) == 0 {
		return
	}
	last := l.last()
	l.frame = Frame{
		Event: l.newest[len(l.newest)-1], First: last, Through: last,
		Epoch: l.epoch, Last: last, Terminal: l.ended,
	}
	for i := len(l.viewers) - 1; i >= 0; i-- { // backwards, since a viewer may be detached
		if v := l.viewers[i]; v.state == viewerLevel {
			l.offer(v, &l.frame)
		}
	}
}

// detach ends a viewer. Under mu.
func (l *liveLog) detach(v *Viewer, why error) {
	if v.state == viewerLeft {
		return
	}
	v.state = viewerLeft
	last := len(l.viewers) - 1
	moved := l.viewers[last]
	l.viewers[v.at], moved.at = moved, v.at
	l.viewers[last] = nil
	l.viewers = l.viewers[:last]
	v.out.Ended(why)
	if len(l.viewers) == 0 {
		l.onVacant()
	}
	l.look()
}

// Leave ends the viewer. Its outlet is told, with ErrGone.
func (v *Viewer) Leave() {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	v.log.detach(v, ErrGone)
}

// WhenLevel calls f, under the log's lock, if there is nothing that the viewer has not been sent. f is
// given a frame without an event: where the next one will stand. It must do no more than an Outlet.
func (v *Viewer) WhenLevel(f func(*Frame)) {
	l := v.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.state == viewerLevel {
		f(&Frame{First: v.next, Through: v.next, Epoch: l.epoch, Last: l.last()})
	}
}

// Away stops the sending to a viewer that is coming back: its run is not abandoned meanwhile, and
// does not run ahead of it.
func (v *Viewer) Away() {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	if v.state != viewerLeft {
		v.state = viewerAway
	}
}

// sendAway ends all viewers.
func (l *liveLog) sendAway(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.viewers) > 0 {
		l.detach(l.viewers[len(l.viewers)-1], why)
	}
}

func (l *liveLog) viewerCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.viewers)
}
