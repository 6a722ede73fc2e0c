package loop_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// stream is one whose selector is a letter.
type stream byte

func (s stream) Number() uint64 { return uint64(s) }

func (s stream) AppendSelector(dst []byte) []byte { return append(dst, '[', byte(s), ']') }

// TestR2OfferAboveTheSoftLimit: nothing is queued there, no selector either and no last word; OnDrain
// comes, and what was refused is taken then behind a selector of its own.
func TestR2OfferAboveTheSoftLimit(t *testing.T) {
	conns, drains := make(chan *loop.Conn, 1), make(chan struct{}, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 64 << 10, WriteTimeout: -1},
		Handler: &handler{
			open:  func(c *loop.Conn) { conns <- c },
			drain: func(*loop.Conn) { drains <- struct{}{} },
		},
	})
	nc := h.narrow(t, 4<<10)
	c := <-conns
	var sel loop.Selection
	payload := bytes.Repeat([]byte("x"), 16<<10)
	sent, result := 0, loop.Sent
	for ; result == loop.Sent; sent++ {
		result = c.Offer(&sel, stream('a'), false, payload, false)
	}
	sent--
	if result != loop.Backpressure || sent == 0 {
		t.Fatalf("%v after %d", result, sent)
	}
	waiting := c.Buffered()
	for _, now := range []bool{false, true} {
		for _, alone := range []bool{false, true} {
			if r := c.Offer(&sel, stream('b'), alone, []byte("refused"), now); r != loop.Backpressure {
				t.Errorf("now %v, alone %v: %v", now, alone, r)
			}
		}
	}
	if n := c.Buffered(); n > waiting {
		t.Errorf("%d bytes wait, and %d did", n, waiting)
	}
	nc.WantMessage(frame.Text, "[a]")
	for range sent {
		nc.WantMessage(frame.Text, string(payload))
	}
	testkit.Receive(t, "OnDrain", drains)
	// The stream stands where it stood: what was refused has not changed it.
	c.Offer(&sel, stream('a'), false, []byte("1"), false)
	c.Offer(&sel, stream('b'), false, []byte("2"), false)
	c.Offer(&sel, stream('b'), true, []byte("3"), false)
	c.Offer(&sel, stream('b'), false, []byte("4"), false)
	c.Offer(&sel, stream('b'), false, []byte("5"), true)
	for _, want := range []string{"1", "[b]", "2", "[b]", "3", "[b]", "4", "5"} {
		nc.WantMessage(frame.Text, want)
	}
}

// TestR2OfferOfALargeMessage: its selector is right before it, whether it is written past the outbox
// or not.
func TestR2OfferOfALargeMessage(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.dial(t)
	c := <-conns
	var sel loop.Selection
	var want []string
	for i, size := range []int{33 << 10, 100, 1 << 20, 33 << 10, 1, 200 << 10} {
		s := stream('a' + byte(i%3))
		payload := bytes.Repeat([]byte{'0' + byte(i)}, size)
		testkit.Await(t, "there is room", func() bool { return c.Offer(&sel, s, i%2 == 1, payload, true) == loop.Sent })
		want = append(want, string(s.AppendSelector(nil)), string(payload))
		for j := range want {
			nc.WantMessage(frame.Text, want[j])
		}
		want = want[:0]
	}
}

// TestR2OfferFromManyGoroutines: a selector and its event are not torn apart: whatever comes between, each
// message is of the stream that was selected last.
func TestR2OfferFromManyGoroutines(t *testing.T) {
	const streams, each = 4, 500
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.dial(t)
	c := <-conns
	var sel loop.Selection
	for s := range streams {
		go func() {
			for i := 0; i < each; {
				if c.Offer(&sel, stream('a'+byte(s)), i%7 == 0, fmt.Appendf(nil, "%c%d", 'a'+byte(s), i), false) == loop.Sent {
					i++
				}
			}
		}()
	}
	var next [streams]int
	at := byte(0)
	for got := 0; got < streams*each; {
		_, p, err := nc.Message()
		if err != nil {
			t.Fatal(err)
		}
		if p[0] == '[' {
			at = p[1]
			continue
		}
		if p[0] != at || string(p[1:]) != strconv.Itoa(next[at-'a']) {
			t.Fatalf("got %s while %c is selected and has had %d", p, at, next[at-'a'])
		}
		next[at-'a']++
		got++
	}
}

// TestR2OfferAllocatesNothing: the way of an event to a viewer that is level.
func TestR2OfferAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.dial(t)
	c := <-conns
	go func() {
		for {
			if _, _, err := nc.Message(); err != nil {
				return
			}
		}
	}()
	var sel loop.Selection
	streams := []loop.Stream{stream('a'), stream('b')}
	payload := bytes.Repeat([]byte("x"), 100)
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		for c.Offer(&sel, streams[i%2], false, payload, false) == loop.Backpressure {
		}
		i++
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
