package loop_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// serveTLS is serveWire over TLS.
func serveTLS(t testing.TB, h *handler, change func(*loop.DoorConfig)) *house {
	t.Helper()
	return serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.TLS = loop.NewTLSConfig(testkit.ServerTLS(t), false)
		if change != nil {
			change(cfg)
		}
	})
}

// TestTLSMessages: messages of any size come back whole, by TLS 1.2 and 1.3, with the buffers of
// crypto/tls taken away at rest and without.
func TestTLSMessages(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, trim := range []bool{false, true} {
			t.Run(fmt.Sprint(tls.VersionName(version), " trim=", trim), func(t *testing.T) {
				h := serveTLS(t, &handler{}, func(cfg *loop.DoorConfig) { cfg.TrimTLS = trim })
				cfg := testkit.ClientTLS()
				cfg.MaxVersion = version
				p := &peer{testkit.ConnectTLS(t, h.addr, 0, cfg), t, h}
				p.Upgrade()
				for _, size := range []int{0, 1, 125, 126, 16<<10 - 1, 16 << 10, 64<<10 + 1, 1 << 20} {
					payload := bytes.Repeat([]byte{byte(size), 'x', 'y'}, size/3+1)[:size]
					p.Put(message(frame.Binary, payload))
					p.WantMessage(frame.Binary, string(payload))
				}
				p.HangUp()
			})
		}
	}
}

// TestF23Records: records of one byte, of 16 KiB, and empty ones carry frames as others do, wherever
// TCP cuts them; and what is one byte too long is refused.
func TestF23Records(t *testing.T) {
	h := serveTLS(t, &handler{}, nil)
	big := strings.Repeat("0123456789", 5000)
	for _, size := range []int{1, 7, 1000, maxRecord} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := h.connectRecords(t)
			p.putRaw(p.data(request(), size))
			p.WantSwitch()
			frames := join(text("one"), text(big[:1000]), text("three"))
			p.putRaw(p.data(frames, size))
			for _, want := range []string{"one", big[:1000], "three"} {
				p.WantMessage(frame.Text, want)
			}
			if size > 1 {
				p.putRaw(p.data(text(big), size))
				p.WantMessage(frame.Text, big)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		p := h.connectRecords(t)
		p.upgrade()
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			records := p.data(text(big), 1+rnd.IntN(maxRecord))
			for len(records) > 0 {
				n := min(len(records), 1+rnd.IntN(5000))
				p.putRaw(records[:n])
				records = records[n:]
			}
			p.WantMessage(frame.Text, big)
		}
		for _, b := range p.data(text("byte by byte"), 3) {
			p.putRaw([]byte{b})
		}
		p.WantMessage(frame.Text, "byte by byte")
	})
	t.Run("empty", func(t *testing.T) {
		p := h.connectRecords(t)
		p.upgrade()
		for range 10 {
			p.putRaw(p.record(recordData, nil))
		}
		p.putRaw(p.data(text("still here"), maxRecord))
		p.WantMessage(frame.Text, "still here")
	})
	t.Run("too long", func(t *testing.T) {
		p := h.connectRecords(t)
		p.upgrade()
		p.putRaw(p.record(recordData, make([]byte, maxRecord+1)))
		p.wantAlert("record overflow")
	})
	t.Run("altered", func(t *testing.T) {
		p := h.connectRecords(t)
		p.upgrade()
		r := p.data(text("hello"), maxRecord)
		r[len(r)-1] ^= 1
		p.putRaw(r)
		p.wantAlert("bad record MAC")
	})
	t.Run("renegotiation", func(t *testing.T) { // as a message of TLS 1.3, which knows none
		p := h.connectRecords(t)
		p.upgrade()
		p.putRaw(p.record(recordHandshake, []byte{1, 0, 0, 0}))
		p.wantAlert("")
	})
}

// wantAlert reads the alert that ends the connection.
func (p *recordPeer) wantAlert(what string) {
	p.t.Helper()
	_, err := io.ReadAll(p)
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "remote error" || !strings.Contains(err.Error(), what) {
		p.t.Errorf("want an alert: %s, got %v", what, err)
	}
	p.Close()
}

// TestF23Truncation: a connection that is cut is told from one that was ended, in mid-record and
// between records, and what was half a message is none.
func TestF23Truncation(t *testing.T) {
	for name, tc := range map[string]struct {
		end       func(p *recordPeer)
		truncated bool
	}{
		"close_notify":     {func(p *recordPeer) { p.putRaw(p.record(recordAlert, []byte{1, 0})) }, false},
		"FIN":              {func(p *recordPeer) { _ = p.TCP().CloseWrite() }, true},
		"FIN inside":       {func(p *recordPeer) { p.putRaw(p.data(text("half"), maxRecord)[:9]); _ = p.TCP().CloseWrite() }, true},
		"FIN in a message": {func(p *recordPeer) { p.putRaw(p.data(text("half")[:7], maxRecord)); _ = p.TCP().CloseWrite() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ends := make(chan *loop.CloseError, 1)
			h := serveTLS(t, &handler{gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why }}, nil)
			p := h.connectRecords(t)
			p.upgrade()
			tc.end(p)
			why := testkit.Receive(t, "OnClose", ends)
			if why.Code != frame.CloseAbnormal || !errors.Is(why, io.ErrUnexpectedEOF) || errors.Is(why, loop.ErrTruncated) != tc.truncated {
				t.Errorf("OnClose was told %v", why)
			}
			if !tc.truncated { // we say goodbye too
				p.WantEnd()
			}
			if h.stats().MessagesIn != 0 {
				t.Error("a message was delivered")
			}
		})
	}
}

// TestTLSGoodbye: behind our close frame comes close_notify, and then the end, whoever closes first.
func TestTLSGoodbye(t *testing.T) {
	conns := make(chan *loop.Conn, 2)
	h := serveTLS(t, &handler{open: func(c *loop.Conn) { conns <- c }}, nil)
	p := h.connectRecords(t)
	p.upgrade()
	(<-conns).Close(1001, "that was it")
	p.CloseFrame(1001)
	p.putRaw(p.data(testkit.Closing(1001, ""), maxRecord))
	p.WantEnd()
	p = h.connectRecords(t)
	p.upgrade()
	p.putRaw(p.data(testkit.Closing(1000, ""), maxRecord))
	p.WantClose(1000)
}

// TestS24KeyUpdates: they are answered, also while others send, and what follows has the new keys.
func TestS24KeyUpdates(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := serveTLS(t, &handler{open: func(c *loop.Conn) { conns <- c }, message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.SetUser(1) }}, nil)
	p := h.connectRecords(t)
	p.upgrade()
	c := <-conns
	var sending sync.WaitGroup
	const each, senders = 300, 3
	for range senders {
		sending.Go(func() {
			for range each {
				for c.Send(frame.Text, bytes.Repeat([]byte("x"), 2000)) == loop.Backpressure {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i := range 200 { // crypto/tls, which reads here, takes few answers without data between them
		p.putRaw(append(p.keyUpdate(i%20 == 0), p.data(text("hello"), maxRecord)...))
	}
	for range senders * each {
		p.WantMessage(frame.Text, strings.Repeat("x", 2000))
	}
	sending.Wait()
	await(t, "all messages", func() bool { return h.stats().MessagesIn == 200 })
}

// TestS24KeyUpdateFloods: many of them do not come through: neither alone, nor each with a byte
// of data, which crypto/tls takes for progress.
func TestS24KeyUpdateFloods(t *testing.T) {
	for name, withData := range map[string]bool{"alone": false, "with data": true} {
		t.Run(name, func(t *testing.T) {
			h := serveTLS(t, &handler{}, func(cfg *loop.DoorConfig) {
				cfg.Rates = loop.Rates{Control: 50, ControlBurst: 100}
			})
			p := h.connectRecords(t)
			p.upgrade()
			sent := 0
			filler := message(frame.Binary, make([]byte, 1<<20))
			before := h.stats().BytesOut
			for sent < 60_000 {
				var batch []byte
				for range 500 {
					batch = append(batch, p.keyUpdate(true)...)
					if withData {
						batch = append(batch, p.record(recordData, filler[sent:sent+1])...)
					}
					sent++
				}
				_ = p.TCP().SetWriteDeadline(time.Now().Add(testkit.Patience))
				if _, err := p.TCP().Write(batch); err != nil {
					break
				}
			}
			await(t, "it is closing", func() bool { return !withData || h.stats().ProtoErrs == 1 })
			p.Close()
			await(t, "it is closed", func() bool { return h.door.Slots().Used() == 0 })
			if answered := h.stats().BytesOut - before; answered > 20_000 {
				t.Errorf("%d bytes of answers", answered)
			}
		})
	}
}
