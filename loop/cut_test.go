package loop_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestCutTellsWhy: a peer that read too slowly, and one cut for the memory it held, find the frame
// under way whole and then the close code, if they read again soon.
func TestCutTellsWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		code frame.CloseCode
		cut  func(h *house, c *loop.Conn)
	}{
		"slow reader": {frame.CloseSlowReader, func(_ *house, c *loop.Conn) {
			for c.Send(frame.Binary, make([]byte, 8<<10)) != loop.Dropped {
			}
		}},
		"memory": {frame.CloseTryLater, func(h *house, c *loop.Conn) {
			for c.Buffered() < 4<<20 {
				c.Send(frame.Binary, make([]byte, 8<<10))
			}
			h.eng.CutLargest(1, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
			h := open(t, loop.DoorConfig{
				Limits: loop.Limits{HardLimit: 8 << 20},
				Handler: &handler{
					open: func(c *loop.Conn) { conns <- c },
					gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
				},
			})
			nc := h.narrow(t, 32<<10)
			c := <-conns
			tc.cut(h, c)
			await(t, "what waited is dropped", func() bool { return c.Buffered() < 64<<10 && h.eng.Held() < 1<<20 })
			for {
				op, payload, err := nc.Message()
				if err != nil {
					t.Fatal("no close frame: ", err)
				}
				if op == frame.Close {
					if code := frame.CloseCode(binary.BigEndian.Uint16(payload)); code != tc.code {
						t.Errorf("closed with %d, want %d", code, tc.code)
					}
					break
				}
				if len(payload) != 8<<10 {
					t.Fatalf("a frame of %d bytes", len(payload))
				}
			}
			nc.WantEnd()
			nc.Close()
			if why := <-ends; why.Code != frame.CloseAbnormal || why.Cause == nil {
				t.Errorf("OnClose was told %v", why)
			}
		})
	}
}

// TestCutOfPeerThatDoesNotRead: it is gone a second later though it never reads why.
func TestCutOfPeerThatDoesNotRead(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	h.narrow(t, 4<<10)
	c := <-conns
	for c.Send(frame.Binary, make([]byte, 30<<10)) != loop.Dropped {
	}
	await(t, "the cut", func() bool { return c.Buffered() < 64<<10 })
	h.eng.Advance(1100 * time.Millisecond)
	await(t, "its slot is free", func() bool { return h.door.Slots().Used() == 0 })
}

// TestWriteTimeoutIsTenSeconds: a peer that takes nothing is cut after ten seconds and not after
// nine, nor is it given twenty.
func TestWriteTimeoutIsTenSeconds(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 16 << 20},
		Handler: &handler{
			open: func(c *loop.Conn) { conns <- c },
			gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	h.narrow(t, 4<<10)
	c := <-conns
	c.Send(frame.Binary, make([]byte, 12<<20))
	await(t, "the kernel is full", func() bool { return h.eng.Blocked() == 1 })
	var acked uint64
	await(t, "the peer's kernel is full", func() bool {
		was := acked
		acked = loop.Acknowledged(c)
		return acked == was
	})
	for range 9 {
		h.eng.Advance(time.Second)
		h.eng.Looked(t.Context())
	}
	select {
	case why := <-ends:
		t.Fatalf("cut within nine seconds: %v", why)
	default:
	}
	for range 3 {
		h.eng.Advance(time.Second)
		h.eng.Looked(t.Context())
	}
	select {
	case why := <-ends:
		if !strings.Contains(why.Error(), "accepted no byte") {
			t.Errorf("cut for %v", why)
		}
	case <-time.After(testkit.Patience):
		t.Fatal("not cut after twelve seconds")
	}
}

// TestServerClosesFirst: after the peer's close frame nothing more can come, so that a peer who keeps
// its connection open does not keep it at the server.
func TestServerClosesFirst(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{
		open: func(c *loop.Conn) { conns <- c },
		gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
	}})
	for _, server := range []bool{true, false} {
		nc := h.dial(t)
		c := testkit.Receive(t, "the connection", conns)
		if server {
			c.Close(frame.CloseNormal, "")
			nc.CloseFrame(frame.CloseNormal)
		}
		nc.Put(closing(1000, ""))
		if why := testkit.Receive(t, "its end", ends); why.Remote == server {
			t.Errorf("got %v", why)
		}
		if !server {
			nc.CloseFrame(frame.CloseNormal)
		}
		nc.WantEnd()
	}
}

// TestRefusalIsReadWhole: the answer to a connection that is turned away is not reset by the bytes
// of a long request.
func TestRefusalIsReadWhole(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{}})
	h.door.NoHeads()
	h.door.SetShedding(true)
	for _, size := range []int{10, 3000, 7000, 60_000} {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(testkit.Patience))
		io.WriteString(nc, "POST / HTTP/1.1\r\nHost: x\r\nCookie: ")
		nc.Write(bytes.Repeat([]byte("x"), size))
		io.WriteString(nc, "\r\n\r\n")
		if !answered(nc, "503") {
			t.Errorf("request of %d bytes: no whole answer", size)
		}
		nc.Close()
	}
}

// TestSlotOfConnectionThatWentToHTTP: who looks up its id meanwhile, from any goroutine, finds the
// connection or nothing.
func TestSlotOfConnectionThatWentToHTTP(t *testing.T) {
	conns := make(chan net.Conn, 1)
	h := open(t, loop.DoorConfig{
		Handler: &handler{}, Path: "/ws",
		HTTP: func(nc *loop.HTTPConn) { conns <- nc },
	})
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			h.door.Slots().Each(func(c *loop.Conn) { h.door.Slots().Conn(c.ID()) })
		}
	})
	for range 100 {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
		served := <-conns
		served.Close()
		nc.Close()
		await(t, "the slot is free", func() bool { return h.door.Slots().Used() == 0 })
	}
	close(stop)
	looking.Wait()
}

// TestCutForMemoryFreesIt: the ledger falls at once, though the rest of the frame under way may
// still leave; who waits for room is told, and the cut is counted once, as one for memory.
func TestCutForMemoryFreesIt(t *testing.T) {
	conns, drains := make(chan *loop.Conn, 1), make(chan *loop.Conn, 1)
	h := openOn(t, smallSends{listen(t)}, 1, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 16 << 10, HardLimit: 8 << 20, CloseTimeout: time.Hour, PingInterval: -1, IdleTimeout: -1},
		Handler: &handler{
			open:  func(c *loop.Conn) { conns <- c },
			drain: func(c *loop.Conn) { drains <- c },
		},
	}, slog.New(slog.DiscardHandler))
	h.narrow(t, 4<<10)
	c := <-conns
	for c.Buffered() < 40<<10 {
		c.Send(frame.Binary, make([]byte, 8<<10))
	}
	if n, _ := h.eng.CutLargest(1, 1); n != 1 {
		t.Fatal("nothing was cut")
	}
	await(t, "the ledger falls", func() bool { return h.eng.Held() < 16<<10 })
	if testkit.Receive(t, "OnDrain", drains) != c || c.Send(frame.Text, nil) != loop.Dropped {
		t.Error("who waited for room may still send")
	}
	h.eng.Advance(20 * time.Second) // the write timeout of a peer that takes nothing
	await(t, "its slot is free", func() bool { return h.door.Slots().Used() == 0 })
	if slow, shed := h.stats().SlowCuts, h.door.Shed(); slow != 0 || shed != 1 {
		t.Errorf("counted as %d slow readers and %d shed", slow, shed)
	}
}

// TestCloseTellsWhoWaitsForRoom: nothing more may be sent, so nobody need wait until the peer reads.
func TestCloseTellsWhoWaitsForRoom(t *testing.T) {
	conns, drains := make(chan *loop.Conn, 1), make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20, CloseTimeout: time.Minute},
		Handler: &handler{
			open:  func(c *loop.Conn) { conns <- c },
			drain: func(c *loop.Conn) { drains <- c },
		},
	})
	h.narrow(t, 4<<10)
	c := <-conns
	for c.Buffered() < 1<<20 {
		c.Send(frame.Binary, make([]byte, 100<<10))
	}
	c.Close(frame.CloseGoingAway, "")
	if testkit.Receive(t, "OnDrain", drains) != c || c.Send(frame.Text, nil) != loop.Dropped {
		t.Error("who waited for room may still send")
	}
	h.eng.Advance(2 * time.Minute)
}
