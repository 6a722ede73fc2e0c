package main

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The ways in which a proxy kills a connection.
const (
	killNot    = iota
	killClosed // FIN to both
	killReset  // RST to both
	killSilent // nothing gets through any more, and nobody is told
	killHalf   // FIN to both in the middle of a server's frame
	killEarly  // RST to both when so many bytes of the client are through, often before the first event
	killWays
)

// wayNames are the names of the ways.
var wayNames = [killWays]string{"", "closed", "reset", "silent", "half a frame", "early"}

// The moment at which a connection is killed, behind the first event that went through.
const (
	killSoonest = 10 * time.Millisecond
	killLatest  = 200 * time.Millisecond
)

// proxy is a TCP proxy that kills every connection soon after its first event.
type proxy struct {
	// Immutable.
	ln    net.Listener
	to    string
	kills bool // else it lets all connections be

	// Any goroutine.
	killed [killWays]atomic.Int64

	// Any goroutine, under mu.
	mu   sync.Mutex
	rnd  *rand.Rand
	open map[*link]struct{}
	work sync.WaitGroup
}

// link is one connection through a proxy.
type link struct {
	// Immutable.
	proxy        *proxy
	client, host *net.TCPConn
	way          int           // in which it is killed
	after        time.Duration // behind its first event
	most         int           // bytes of the client that get through; of killEarly alone

	// Any goroutine.
	killed atomic.Int32 // the way, once it is
	half   atomic.Bool  // it is to be killed in the next frame
	deaf   atomic.Bool  // nothing that the host sends gets through any more

	// The goroutine that reads from the host.
	frames frames
	timer  *time.Timer // nil before the first event
}

// newProxy starts a proxy to an address.
func newProxy(to string, seed uint64, kills bool) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{ln: ln, to: to, kills: kills, rnd: random(seed, "proxy"), open: make(map[*link]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

// close ends what goes through.
func (p *proxy) close() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.open {
		c.client.Close()
		c.host.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// deafen has nothing of the host get through any more on the connections that there are.
func (p *proxy) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.deaf.Store(true)
	}
}

func (p *proxy) accept() {
	for {
		nc, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.pass(nc.(*net.TCPConn)) })
	}
}

// pass relays one connection.
func (p *proxy) pass(client *net.TCPConn) {
	defer client.Close()
	nc, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	c := &link{proxy: p, client: client, host: nc.(*net.TCPConn)}
	defer c.host.Close()
	p.mu.Lock()
	c.way = killClosed + p.rnd.IntN(killEarly-killClosed)
	if p.kills && p.rnd.IntN(8) == 0 {
		c.way, c.most = killEarly, p.rnd.IntN(1000)
	}
	c.after = killSoonest + time.Duration(p.rnd.Int64N(int64(killLatest-killSoonest)))
	p.open[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(c.fromClient)
	both.Go(c.fromHost)
	both.Wait()
	if c.timer != nil {
		c.timer.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (c *link) fromClient() {
	buf := make([]byte, 4096)
	for through := 0; ; {
		n, err := c.client.Read(buf)
		early := c.way == killEarly && through+n > c.most
		if early {
			n = c.most - through
		}
		if n > 0 && c.killed.Load() == killNot {
			_, _ = c.host.Write(buf[:n]) // who is gone is seen when it is read from
			through += n
		}
		if early {
			c.kill(killEarly)
		}
		if err != nil {
			c.over(c.client, c.host)
			return
		}
	}
}

func (c *link) fromHost() {
	buf := make([]byte, 4096)
	for {
		n, err := c.host.Read(buf)
		if n > 0 {
			c.relay(buf[:n])
		}
		if err != nil {
			c.over(c.host, c.client)
			return
		}
	}
}

// relay passes on what the host has sent.
func (c *link) relay(b []byte) {
	if c.killed.Load() != killNot || c.deaf.Load() {
		return
	}
	if c.half.Load() {
		n, ok := c.frames.cut(b)
		_, _ = c.client.Write(b[:n])
		if ok {
			c.kill(killHalf)
		}
		return
	}
	c.frames.scan(b)
	_, _ = c.client.Write(b)
	if c.proxy.kills && c.frames.events > 0 && c.timer == nil {
		c.timer = time.AfterFunc(c.after, c.due)
	}
}

// due is called when the connection is to be killed.
func (c *link) due() {
	if c.way == killHalf {
		c.half.Store(true)
	} else {
		c.kill(c.way)
	}
}

// kill kills the connection. What comes from either side from now on is dropped.
func (c *link) kill(way int) {
	if !c.killed.CompareAndSwap(killNot, int32(way)) {
		return
	}
	c.proxy.killed[way].Add(1)
	switch way {
	case killClosed, killHalf:
		_ = c.client.CloseWrite()
		_ = c.host.CloseWrite()
	case killReset, killEarly:
		for _, nc := range []*net.TCPConn{c.client, c.host} {
			_ = nc.SetLinger(0)
			nc.Close()
		}
	}
}

// over notes that one side has ended. The other one is told, unless the connection has fallen silent:
// then it has to find out.
func (c *link) over(ended, other *net.TCPConn) {
	ended.Close()
	if c.killed.Load() != killSilent {
		other.Close()
	}
}
