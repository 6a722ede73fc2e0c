package loop_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// pauses is a handler that notes messages. It pauses at each "pause", and echoes others where a test asks
// for it.
type pauses struct {
	handler
	conns chan *loop.Conn // those that have paused
	said  sync.Map        // *loop.Conn → *atomic.Pointer[[]string]
}

func newPauses() *pauses {
	p := &pauses{conns: make(chan *loop.Conn, 1000)}
	p.message = func(c *loop.Conn, op frame.Opcode, payload []byte) {
		list, _ := p.said.LoadOrStore(c, new(atomic.Pointer[[]string]))
		said := list.(*atomic.Pointer[[]string])
		var now []string
		if old := said.Load(); old != nil {
			now = *old
		}
		now = append(slices.Clip(now), string(payload))
		said.Store(&now)
		if string(payload) == "pause" {
			c.PauseReading()
			p.conns <- c
			return
		}
		c.Send(op, payload)
	}
	return p
}

// heard is what came from the peer so far.
func (p *pauses) heard(c *loop.Conn) []string {
	list, ok := p.said.Load(c)
	if !ok {
		return nil
	}
	return *list.(*atomic.Pointer[[]string]).Load()
}

// TestWirePause: a peer of a paused connection is stopped by TCP, and loses nothing.
func TestWirePause(t *testing.T) {
	h := newPauses()
	s := serveWire(t, &h.handler, nil)
	p := s.dial(t)
	p.Put(text("pause"))
	c := <-h.conns
	s.settle(t)
	before := s.eng.BytesIn()
	const size = 60_000
	done := make(chan int, 1)
	var sent atomic.Int64
	go func() {
		for i := range 500 { // 30 MB, which no two socket buffers hold
			if _, err := p.Write(message(frame.Binary, pattern(size+i))); err != nil {
				break
			}
			sent.Add(1)
		}
		done <- int(sent.Load())
	}()
	await(t, "the peer to be stopped", func() bool {
		n := sent.Load()
		s.settle(t)
		s.settle(t)
		return n > 0 && n == sent.Load()
	})
	if n := s.eng.BytesIn() - before; n > 1<<20 {
		t.Errorf("%d bytes were read while paused", n)
	}
	if n := s.eng.Held(); n > 4*loop.ReadBuffer {
		t.Errorf("%d bytes are held while paused", n)
	}
	if n := len(h.heard(c)); n != 1 {
		t.Errorf("%d messages came while paused", n-1)
	}
	c.ResumeReading()
	for i := range 500 {
		p.Want(0b1_000_0010, pattern(size+i))
	}
	if n := <-done; n != 500 {
		t.Errorf("%d messages could be sent", n)
	}
	if sum := s.stats(); sum.ReadPauses != 1 || sum.ReadResumes != 1 {
		t.Errorf("%d pauses, %d of them over", sum.ReadPauses, sum.ReadResumes)
	}
}

// TestWirePauseOften: whatever comes in one read, and wherever the handler pauses, messages come in their
// order and once; also where the poller cannot be told.
func TestWirePauseOften(t *testing.T) {
	for _, forget := range []bool{false, true} {
		t.Run(fmt.Sprintf("forget=%t", forget), func(t *testing.T) {
			h := newPauses()
			if forget {
				defer loop.ForgetEpoll()()
			}
			s := serveWire(t, &h.handler, nil)
			p := s.dial(t)
			rng := rand.New(rand.NewPCG(1, 2))
			var want []string
			var all []byte
			for i := range 3000 {
				m := strconv.Itoa(i)
				switch rng.IntN(10) {
				case 0:
					m = "pause"
				case 1:
					all = append(all, masked(0b0_000_0001, []byte(m))...) // in two fragments, with a ping between
					all = append(all, masked(0b1_000_1001, nil)...)
					all = append(all, masked(0b1_000_0000, []byte("!"))...)
					want = append(want, m+"!")
					continue
				}
				all = append(all, text(m)...)
				want = append(want, m)
			}
			go func() { // in odd pieces
				for rng := rand.New(rand.NewPCG(3, 4)); len(all) > 0; {
					n := min(len(all), 1+rng.IntN(3000))
					_, _ = p.Write(all[:n])
					all = all[n:]
				}
			}()
			go func() {
				for {
					select {
					case c := <-h.conns:
						c.ResumeReading()
					case <-t.Context().Done():
						return
					}
				}
			}()
			var got []string
			for _, m := range want {
				if m == "pause" {
					continue
				}
				f := p.Frame()
				for f.Head == 0b1_000_1010 {
					f = p.Frame()
				}
				if got = append(got, string(f.Payload)); string(f.Payload) != m {
					t.Fatalf("%d: got %q, want %q", len(got), f.Payload, m)
				}
			}
		})
	}
}

// TestWirePauseByOthers: two goroutines that pause and resume all the time do no harm, and the last one wins.
func TestWirePauseByOthers(t *testing.T) {
	conns := make(chan *loop.Conn, 100)
	s := serveWire(t, &handler{open: func(c *loop.Conn) { conns <- c }}, nil)
	p := s.dial(t)
	c := <-conns
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 2000 {
				c.PauseReading()
				c.ResumeReading()
			}
		})
	}
	for i := range 500 {
		p.Put(text(strconv.Itoa(i)))
	}
	all.Wait()
	for i := range 500 {
		p.WantMessage(frame.Text, strconv.Itoa(i))
	}
}

// TestWirePauseDeadlines: the peer of a paused connection needs not answer pings, is not idle and has time for
// its message. Afterwards all of that holds again.
func TestWirePauseDeadlines(t *testing.T) {
	h := newPauses()
	s := timed(t, &h.handler, func(l *loop.Limits) {
		l.PingInterval, l.PongTimeout, l.IdleTimeout, l.MessageTimeout = 20*time.Second, 10*time.Second, 2*time.Minute, 30*time.Second
	})
	p := s.dial(t)
	p.Put(text("pause"), text("begun")[:4])
	c := <-h.conns
	for range 30 {
		s.step(t, time.Minute)
	}
	for range 25 { // it is pinged: a dead peer is found by its kernel, which acknowledges nothing
		p.WantMessage(frame.Ping, "")
	}
	c.ResumeReading()
	s.settle(t)
	for p.Peek(time.Millisecond) == nil {
		p.WantMessage(frame.Ping, "")
	}
	p.Put(text("begun")[4:])
	p.WantMessage(frame.Text, "begun")
	s.step(t, 21*time.Second)
	p.WantMessage(frame.Ping, "")
	s.step(t, 11*time.Second)
	p.WantClose(1001)
}

// TestWirePauseAndGoodbye: what a peer has sent before it closes is delivered when reading goes on.
func TestWirePauseAndGoodbye(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"close frame": func(p *peer) { p.Put(closing(1000, "bye")) },
		"half close":  func(p *peer) { p.Put(closing(1000, "bye")); _ = p.TCP().CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newPauses()
			s := serveWire(t, &h.handler, nil)
			p := s.dial(t)
			p.Put(text("pause"))
			c := <-h.conns
			for i := range 100 {
				p.Put(text(strconv.Itoa(i)))
			}
			end(p)
			s.settle(t)
			if n := len(h.heard(c)); n != 1 || h.closed.Load() == h.opened.Load() {
				t.Fatalf("%d messages, %d of %d closed, while paused", n, h.closed.Load(), h.opened.Load())
			}
			c.ResumeReading()
			await(t, "OnClose", func() bool { return h.closed.Load() == h.opened.Load() })
			if said := h.heard(c); len(said) != 101 || said[100] != "99" {
				t.Errorf("%d messages came", len(said))
			}
			if why := h.why.Load(); why.Code != 1000 || why.Reason != "bye" || !why.Remote {
				t.Errorf("%v", why)
			}
		})
	}
}

// TestPauseAndGone: a peer over a unix socket that ends is told of at once. What it had sent is delivered
// first, although the handler has paused and pauses again.
func TestPauseAndGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := newPauses()
	s := openOn(t, ln, 1, loop.DoorConfig{Handler: &h.handler, Limits: untimed}, nil)
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := testkit.Attach(t, nc)
	p.Upgrade()
	p.Put(text("pause"), text("kept"))
	c := <-h.conns
	for i := range 20 {
		p.Put(text("pause"), message(frame.Binary, pattern(1000+i)))
	}
	nc.Close()
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	if n := len(h.heard(c)); n != 42 {
		t.Errorf("%d messages came", n)
	}
	if sum := s.stats(); sum.ReadPauses != sum.ReadResumes {
		t.Errorf("%d pauses, %d of them over", sum.ReadPauses, sum.ReadResumes)
	}
}

// TestWirePauseAndReset: a peer that resets is told of at once.
func TestWirePauseAndReset(t *testing.T) {
	h := newPauses()
	s := serveWire(t, &h.handler, nil)
	p := s.dial(t)
	p.Put(text("pause"), text("kept"))
	c := <-h.conns
	s.settle(t)
	p.Reset()
	await(t, "OnClose", func() bool { return h.closed.Load() == h.opened.Load() })
	if said := h.heard(c); !slices.Equal(said, []string{"pause", "kept"}) {
		t.Errorf("%q", said)
	}
}

// TestWirePauseAndClose: Close ends a pause, so that the peer's close frame is read, and what was kept is not
// delivered any more.
func TestWirePauseAndClose(t *testing.T) {
	h := newPauses()
	s := serveWire(t, &h.handler, nil)
	p := s.dial(t)
	p.Put(text("pause"), text("kept"))
	c := <-h.conns
	s.settle(t)
	c.Close(frame.CloseNormal, "enough")
	p.CloseFrame(1000)
	p.Put(closing(1000, ""))
	p.WantEnd()
	await(t, "OnClose", func() bool { return h.closed.Load() == h.opened.Load() })
	if said := h.heard(c); !slices.Equal(said, []string{"pause"}) {
		t.Errorf("%q", said)
	}
}

// TestWirePauseInMemoryPressure: what is kept counts as held, and is given up when the connection is cut.
func TestWirePauseInMemoryPressure(t *testing.T) {
	h := newPauses()
	s := serveWire(t, &h.handler, nil)
	p := s.dial(t)
	p.Put(join(text("pause"), message(frame.Binary, pattern(60_000)), message(frame.Binary, pattern(60_000))))
	c := <-h.conns
	await(t, "something is kept", func() bool { return s.eng.Held() > 0 })
	c.CutOff()
	p.WantClose(1013)
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
}

// TestWirePauseWithoutPoller: where reading cannot be stopped, a bounded part is kept.
func TestWirePauseWithoutPoller(t *testing.T) {
	h := newPauses()
	defer loop.ForgetEpoll()()
	s := serveWire(t, &h.handler, nil)
	p := s.dial(t)
	p.Put(text("pause"), message(frame.Binary, pattern(900_000)))
	c := <-h.conns
	await(t, "all is read", func() bool { return s.eng.BytesIn() > 900_000 })
	c.ResumeReading()
	p.Want(0b1_000_0010, pattern(900_000))
	p.Put(text("pause"))
	<-h.conns
	go func() {
		for {
			if _, err := p.Write(message(frame.Binary, pattern(100_000))); err != nil {
				return
			}
		}
	}()
	if reason := p.CloseFrame(1013); reason != "reading is paused" {
		t.Errorf("reason %q", reason)
	}
	p.Close()
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
}

// TestWirePauseInOnOpen: nothing is delivered of what comes with the request.
func TestWirePauseInOnOpen(t *testing.T) {
	h := newPauses()
	h.open = func(c *loop.Conn) {
		c.PauseReading()
		h.conns <- c
	}
	s := serveWire(t, &h.handler, nil)
	p := s.connect(t)
	p.Put(request(), text("early"))
	p.WantSwitch()
	c := <-h.conns
	p.Put(text("late"))
	p.wantNothing()
	c.ResumeReading()
	p.WantMessage(frame.Text, "early")
	p.WantMessage(frame.Text, "late")
}
