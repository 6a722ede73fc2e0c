//go:build !linux || aguipoll

package loop

import (
	"sync"
	"time"
)

// poller looks at the blocked connections of one loop again and again, soon at first and then less
// often: where there is no epoll, nobody tells when a socket that gnet watches for reading has
// room.
type poller struct {
	// Immutable.
	loop  *Loop
	timer *time.Timer

	// Any goroutine, under mu; Conn.mu may be held.
	mu      sync.Mutex
	waiting map[uint64]*Conn // by token
	last    uint64           // token
	pause   time.Duration    // until the next look
	stopped bool
}

const (
	pauseMin = time.Millisecond
	pauseMax = 16 * time.Millisecond
)

func newPoller(l *Loop) (*poller, error) {
	p := &poller{loop: l, waiting: make(map[uint64]*Conn)}
	p.timer = time.AfterFunc(time.Hour, p.look)
	return p, nil
}

func (p *poller) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.timer.Stop()
}

// look tries every blocked connection.
func (p *poller) look() {
	p.mu.Lock()
	tried := p.waiting
	p.waiting = make(map[uint64]*Conn)
	p.pause = min(2*p.pause, pauseMax)
	p.mu.Unlock()
	now := p.loop.eng.now()
	for token, c := range tried {
		p.loop.runElsewhere(c, func() action { return c.onWritable(token, now) })
	}
}

// watch has c looked at. Under c.mu.
func (p *poller) watch(c *Conn, o *outbox) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.acked == 0 || o.moved == c.loop.nowTick() || p.pause == 0 {
		p.pause = pauseMin
	}
	delete(p.waiting, o.token)
	p.last++
	o.token = p.last
	p.waiting[o.token] = c
	if len(p.waiting) == 1 && !p.stopped {
		p.timer.Reset(p.pause)
	}
	return nil
}

// forget has nothing to do: the outbox takes its token along.
func (p *poller) forget(*Conn) {}

// unwatch forgets a token whose look is not wanted any more. Under Conn.mu.
func (p *poller) unwatch(token uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, token)
}

// blocked appends the connections that wait for room to list.
func (p *poller) blocked(list []*Conn) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.waiting {
		list = append(list, c)
	}
	return list
}
