//go:build !aguipoll

package loop

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// poller says when the sockets of one loop's blocked connections have room again. It is an epoll
// instance of our own, which gnet knows nothing of: gnet is given no bytes, so it never waits for
// room. The instance is itself watched by Go's netpoller, so that the goroutine that waits for its
// events holds no thread. See docs/adr/0015-one-queue.md.
type poller struct {
	// Immutable.
	loop *Loop
	fd   int // the epoll instance
	file *os.File

	// Any goroutine, under mu; Conn.mu may be held.
	mu      sync.Mutex
	waiting map[uint64]*Conn // by token
	last    uint64           // token
}

// newPoller starts one for l.
func newPoller(l *Loop) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{loop: l, fd: fd, file: os.NewFile(uintptr(fd), "epoll"), waiting: make(map[uint64]*Conn)}
	raw, err := p.file.SyscallConn()
	if err != nil {
		p.file.Close()
		return nil, err
	}
	go func() { _ = raw.Read(p.look) }() // returns when the file is closed
	return p, nil
}

func (p *poller) stop() { p.file.Close() }

// look handles the events there are and asks to be called when there are more.
func (p *poller) look(fd uintptr) (done bool) {
	var events [128]unix.EpollEvent
	for {
		n, err := unix.EpollWait(int(fd), events[:], 0)
		if n <= 0 && err != unix.EINTR {
			return false
		}
		now := p.loop.eng.now()
		for i := range max(n, 0) {
			token := tokenOf(&events[i])
			if c := p.claim(token); c != nil { // an error counts as room: the write will meet it
				p.loop.runElsewhere(c, func() action { return c.onWritable(token, now) })
			}
		}
	}
}

// claim returns the connection of an event and forgets it, or nil for an event that came too late:
// a descriptor whose duplicate lives on has events after it was closed, and its number may be that
// of another connection by then.
func (p *poller) claim(token uint64) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.waiting[token]
	delete(p.waiting, token)
	return c
}

// unwatch forgets a token whose event is not wanted any more. Under Conn.mu.
func (p *poller) unwatch(token uint64) { p.claim(token) }

// watch asks for one event when c's socket has room. Under c.mu.
func (p *poller) watch(c *Conn, o *outbox) error {
	p.mu.Lock()
	delete(p.waiting, o.token) // its event will not come any more
	p.last++
	o.token = p.last
	p.waiting[o.token] = c
	p.mu.Unlock()
	op := unix.EPOLL_CTL_ADD
	if c.outFlags&outWatched != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT}
	setToken(&ev, o.token)
	if err := p.control(op, c, &ev); err != nil {
		p.claim(o.token)
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.outFlags |= outWatched
	return nil
}

// forget ends what watch began. Under c.mu, before the descriptor is closed.
func (p *poller) forget(c *Conn) {
	if c.outFlags&outWatched == 0 {
		return
	}
	c.outFlags &^= outWatched
	_ = p.control(unix.EPOLL_CTL_DEL, c, nil)
}

// control is epoll_ctl for c's descriptor.
func (p *poller) control(op int, c *Conn, ev *unix.EpollEvent) error {
	return unix.EpollCtl(p.fd, op, int(c.fd), ev)
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

// The kernel gives 64 bits back with an event; the package names the halves for what most callers
// keep in them.

func setToken(ev *unix.EpollEvent, token uint64) { ev.Fd, ev.Pad = int32(token), int32(token>>32) }

func tokenOf(ev *unix.EpollEvent) uint64 { return uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32 }
