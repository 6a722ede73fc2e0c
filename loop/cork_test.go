package loop_test

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestRepliesStayWithTheirConnection: whatever becomes of a connection in the callback that
// replied, its replies never go to the next one.
func TestRepliesStayWithTheirConnection(t *testing.T) {
	secret := []byte("secret")
	for name, end := range map[string]func(c *loop.Conn){
		"cut at the hard limit": func(c *loop.Conn) {
			for c.Send(frame.Text, make([]byte, 1000)) != loop.Dropped {
				continue
			}
		},
		"cut for memory": func(c *loop.Conn) { c.CutOff() },
		"closed":         func(c *loop.Conn) { c.Close(frame.CloseNormal, "") },
		"panic":          func(*loop.Conn) { panic("a mistake") },
	} {
		t.Run(name, func(t *testing.T) {
			deed := func(c *loop.Conn) {
				c.Reply(frame.Text, secret)
				end(c)
			}
			h := open(t, loop.DoorConfig{
				Limits: loop.Limits{SoftLimit: 1 << 10, HardLimit: 4 << 10},
				Handler: &handler{
					message: func(c *loop.Conn, op frame.Opcode, p []byte) {
						switch string(p) {
						case "now":
							deed(c)
						case "when there is room":
							c.Send(op, make([]byte, 2000))
						default:
							c.Reply(op, p)
						}
					},
					drain: deed,
				},
			})
			for _, when := range []string{"now", "when there is room"} {
				a, b := h.dial(t), h.dial(t)
				a.Put(message(frame.Text, []byte(when)))
				a.SetReadDeadline(time.Now().Add(testkit.Patience))
				for err := error(nil); err == nil; {
					var op frame.Opcode
					if op, _, err = a.Message(); op == frame.Close {
						break // it waits for ours
					}
					if ne, ok := err.(net.Error); ok && ne.Timeout() {
						t.Fatal("the connection is alive")
					}
				}
				b.Put(text("mine"))
				b.WantMessage(frame.Text, "mine")
			}
		})
	}
}

// TestReplyAmongLargeFrames: a reply never lands inside a large frame that another goroutine has
// partly written.
func TestReplyAmongLargeFrames(t *testing.T) {
	large := bytes.Repeat([]byte("L"), 300<<10)
	var stop atomic.Bool
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 64 << 20, HardLimit: 512 << 20},
		Handler: &handler{
			open: func(c *loop.Conn) {
				go func() {
					for ; !stop.Load(); runtime.Gosched() {
						if c.Buffered() == 0 && c.Send(frame.Binary, large) == loop.Dropped {
							return
						}
					}
				}()
			},
			message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.Reply(frame.Text, []byte("reply")) },
		},
	})
	nc := h.narrow(t, 64<<10)
	go func() {
		one := text("x")
		for ; !stop.Load(); runtime.Gosched() {
			if _, err := nc.Write(one); err != nil {
				return
			}
		}
	}()
	nc.SetReadDeadline(time.Now().Add(2 * testkit.Patience))
	for n := range 300 {
		if _, p, err := nc.Message(); err != nil || !bytes.Equal(p, large) && string(p) != "reply" {
			t.Fatalf("after %d frames: %d bytes, a reply at %d, %v", n, len(p), bytes.Index(p, []byte("reply")), err)
		}
	}
	stop.Store(true)
}

// TestPollerForgets: however often a blocked connection is tried, the poller knows it once, and not
// at all when it is gone.
func TestPollerForgets(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{SoftLimit: 64 << 20},
		Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, _ []byte) { c.Send(op, make([]byte, 20_000)) }},
	})
	const conns = 3
	for range conns {
		nc := h.narrow(t, 4<<10)
		nc.Write(bytes.Repeat(text("x"), 2000))
		defer nc.Close()
	}
	await(t, "blocked or cut", func() bool { return h.eng.Held() > 1<<20 || h.door.Slots().Used() < conns })
	if n := h.eng.Blocked(); n > conns {
		t.Errorf("the poller knows %d of %d connections", n, conns)
	}
	h.door.Slots().Each(func(c *loop.Conn) { c.CutOff() })
	await(t, "all are gone", func() bool { return h.door.Slots().Used() == 0 })
	if n := h.eng.Blocked(); n != 0 {
		t.Errorf("the poller knows %d connections that are gone", n)
	}
}

// TestSizeEndsAWindow: a message that ends a window by its size leaves the next one a window of its
// own.
func TestSizeEndsAWindow(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MessageBatchBytes: -1, MessageBatchSize: 100, MessageBatchTimeout: 100 * time.Millisecond},
		Handler: &handler{open: func(c *loop.Conn) { conns <- c }},
	})
	nc := h.dial(t)
	c := <-conns
	sizes := []int{1, 20_000, 20_000, 30_000, 3, 4} // the first at once, the next within its window
	for _, n := range sizes {
		c.Send(frame.Text, make([]byte, n))
	}
	nc.SetReadDeadline(time.Now().Add(testkit.Patience))
	for i, want := range sizes {
		if _, p, err := nc.Message(); err != nil || len(p) != want {
			t.Fatalf("message %d: %d bytes, %v, want %d", i, len(p), err, want)
		}
	}
}

// TestAbandonedTooLate: who gives up a connection that a loop has opened this moment leaves it its
// slot to give back.
func TestAbandonedTooLate(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) {
		if c.Abandon() {
			t.Error("an open connection was given up")
		}
	}}})
	h.dial(t).Close()
	await(t, "its slot is free", func() bool { return h.door.Slots().Used() == 0 })
}

// TestAllLoopsEnded: connections that come when no loop is left end nothing but themselves.
func TestAllLoopsEnded(t *testing.T) {
	h, _, _ := twoLoops(t, loop.Limits{})
	for range 2 {
		nc := h.dial(t)
		nc.Put(text("exit"))
		if _, _, err := nc.Message(); err == nil {
			t.Error("the connection of an ended loop is alive")
		}
	}
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetReadDeadline(time.Now().Add(testkit.Patience))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	await(t, "its slot is free", func() bool { return h.door.Slots().Used() == 0 })
}
