package agloop_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// breaker is a TCP proxy between clients and a server, which breaks connections as its test says.
type breaker struct {
	// Immutable.
	ln     net.Listener
	silent chan *broken // connections that have fallen silent, for the test to end

	// Any goroutine, under mu.
	mu      sync.Mutex
	to      string     // address of the server
	plan    func() cut // what becomes of the next connection; nil: nothing
	open    map[*broken]struct{}
	refuses bool // it ends new connections at once
	cuts    int  // connections that were ended
	work    sync.WaitGroup
}

// cut is how a connection ends.
type cut struct {
	after      int  // bytes of one direction; 0 is never
	fromClient bool // which of the two
	way        cutWay
}

type cutWay int

const (
	cutClosed cutWay = iota
	cutReset
	cutSilent // until the test ends it
	cutWays
)

// broken is one connection through a breaker.
type broken struct {
	near, far *net.TCPConn
	mute      atomic.Bool // nothing gets through
	deaf      atomic.Bool // nothing of the server's does
}

// newBreaker is a breaker to a server, which ends with the test.
func newBreaker(t testing.TB, to string) *breaker {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &breaker{ln: ln, to: to, open: make(map[*broken]struct{}), silent: make(chan *broken, 1000)}
	r.work.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		r.cutAll(cutReset)
		r.work.Wait()
	})
	return r
}

func (r *breaker) url() string { return wsURL(r.ln.Addr().String()) }

func (r *breaker) accept() {
	for {
		nc, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.connect(nc.(*net.TCPConn)) })
	}
}

// connect relays one connection.
func (r *breaker) connect(near *net.TCPConn) {
	defer near.Close()
	r.mu.Lock()
	to, refuses := r.to, r.refuses
	r.mu.Unlock()
	if refuses {
		return
	}
	nc, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	c := &broken{near: near, far: nc.(*net.TCPConn)}
	defer c.far.Close()
	r.mu.Lock()
	if r.refuses {
		r.mu.Unlock()
		return
	}
	var end cut
	if r.plan != nil {
		end = r.plan()
	}
	r.open[c] = struct{}{}
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { r.pipe(c, true, end) })
	both.Go(func() { r.pipe(c, false, end) })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
}

// pipe relays one direction.
func (r *breaker) pipe(c *broken, fromClient bool, end cut) {
	from, to := c.far, c.near
	if fromClient {
		from, to = to, from
	}
	left := 0
	if end.fromClient == fromClient {
		left = end.after
	}
	buf := make([]byte, 4096)
	for {
		b := buf
		if left > 0 {
			b = buf[:min(len(buf), left)]
		}
		n, err := from.Read(b)
		if n > 0 && !c.mute.Load() && (fromClient || !c.deaf.Load()) {
			_, _ = to.Write(b[:n]) // who is gone is seen when it is read from
		}
		if err != nil {
			c.cut(cutClosed)
			return
		}
		if left > 0 {
			if left -= n; left == 0 {
				r.mu.Lock()
				r.cuts++
				r.mu.Unlock()
				if end.way == cutSilent {
					c.mute.Store(true)
					r.silent <- c
				} else {
					c.cut(end.way)
				}
			}
		}
	}
}

// cut ends a connection.
func (c *broken) cut(way cutWay) {
	if way == cutReset {
		_ = c.near.SetLinger(0)
		_ = c.far.SetLinger(0)
	}
	c.near.Close()
	c.far.Close()
}

// cutAll ends what is open.
func (r *breaker) cutAll(way cutWay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.cut(way)
	}
}

// down ends what is open, and what comes until up is called.
func (r *breaker) down() {
	r.set(func() { r.refuses = true })
	r.cutAll(cutReset)
}

func (r *breaker) up() { r.set(func() { r.refuses = false }) }

// moveTo has new connections go to another server.
func (r *breaker) moveTo(addr string) { r.set(func() { r.to = addr }) }

// deafen has nothing of the server's get through any more on what is open.
func (r *breaker) deafen() {
	r.set(func() {
		for c := range r.open {
			c.deaf.Store(true)
		}
	})
}

func (r *breaker) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// killing plans the ends of the next connections, n of them: at any byte, in any way. Those after
// them last.
func (r *breaker) killing(seed uint64, n, most int, ways ...cutWay) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	r.set(func() {
		r.plan = func() cut {
			if n == 0 {
				return cut{}
			}
			n--
			end := cut{after: 1 + rnd.IntN(most), way: ways[rnd.IntN(len(ways))]}
			if rnd.IntN(4) == 0 {
				end.fromClient, end.after = true, 1+rnd.IntN(600)
			}
			return end
		}
	})
}

// sweep ends the connections of a breaker that have fallen silent, each when no run goes on any
// further, until the test is over.
func (s *teller) sweep(t testing.TB, r *breaker) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case c := <-r.silent:
				testkit.Await(t, "the runs wait for who hears them", func() bool {
					return ctx.Err() != nil || s.waiting.Load() >= s.running.Load()
				})
				c.cut(cutReset)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// client is one whose connections go through a breaker. Where the server asks it is ann.
func (r *breaker) client(t testing.TB, edit func(*agloop.ClientConfig)) *agloop.Client {
	t.Helper()
	cfg := agloop.ClientConfig{Logger: quiet, Header: http.Header{"Authorization": {"ann"}}, Protocols: []string{wireProtocol()}}
	cfg.Resume.MinBackoff, cfg.Resume.MaxBackoff = time.Millisecond, 2*time.Millisecond
	if edit != nil {
		edit(&cfg)
	}
	c, err := agloop.Dial(t.Context(), r.url(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
