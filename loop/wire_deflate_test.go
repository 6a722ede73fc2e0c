package loop_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

const (
	deflatedText   = 0b1_100_0001
	deflatedBinary = 0b1_100_0010
	offered        = "Sec-WebSocket-Extensions: permessage-deflate"
)

// serveDeflate is serveWire with compression.
func serveDeflate(t testing.TB, h *handler, change func(*loop.DoorConfig)) *house {
	t.Helper()
	return serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.Compression = loop.Compression{Enabled: true}
		if change != nil {
			change(cfg)
		}
	})
}

// deflated is a message of a client that compresses it.
func deflated(t testing.TB, head byte, plain string) []byte {
	return masked(head, testkit.Deflate(t, []byte(plain)))
}

// inflated reads the next message and returns it, and whether it was compressed.
func (p *peer) inflated(f *testkit.Inflater) (plain string, compressed bool) {
	p.t.Helper()
	m := p.Frame()
	switch m.Head {
	case deflatedText, deflatedBinary:
		return string(f.Inflate(p.t, m.Payload)), true
	case 0b1_000_0001, 0b1_000_0010:
		return string(m.Payload), false
	}
	p.t.Fatalf("frame %08b", m.Head)
	return "", false
}

// event is a token event as an agent's run has them.
func event(i int) string {
	return fmt.Sprintf(`{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"m-1","delta":"token %d"}`, 1_700_000_000_000+i*37, i)
}

// TestDeflateNegotiation: a client that offers nothing, or nothing valid, gets none; the parameters of
// the others hold, and a bit for compression that nobody agreed on is a mistake (S5, S6).
func TestDeflateNegotiation(t *testing.T) {
	h := serveDeflate(t, &handler{}, nil)
	for offer, want := range map[string]string{
		"permessage-deflate":                                                         "permessage-deflate; client_no_context_takeover",
		"permessage-deflate; server_no_context_takeover":                             "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		"permessage-deflate; server_max_window_bits=9":                               "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
		"permessage-deflate; client_max_window_bits":                                 "permessage-deflate; client_no_context_takeover",
		"permessage-deflate; server_max_window_bits=16, permessage-deflate":          "permessage-deflate; client_no_context_takeover",
		"x-webkit-deflate-frame":                                                     "",
		"permessage-deflate; server_max_window_bits=7":                               "",
		"permessage-deflate; server_max_window_bits":                                 "",
		"permessage-deflate; server_max_window_bits=\"\"":                            "",
		"permessage-deflate; server_no_context_takeover=1":                           "",
		"permessage-deflate; unknown":                                                "",
		"permessage-deflate; client_max_window_bits=0":                               "",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover": "",
	} {
		p := h.connect(t)
		if got := p.Upgrade("Sec-WebSocket-Extensions: " + offer)["Sec-WebSocket-Extensions"]; got != want {
			t.Errorf("%s\n got %q\nwant %q", offer, got, want)
		}
		if want == "" {
			p.Put(deflated(t, deflatedText, "hello"))
			p.WantClose(1002)
			continue
		}
		p.Put(deflated(t, deflatedText, strings.Repeat("hello ", 200)))
		if got, compressed := p.inflated(&testkit.Inflater{NoContext: strings.Contains(want, "server_no")}); got != strings.Repeat("hello ", 200) || !compressed {
			t.Errorf("%s: got %.20q, compressed %t", offer, got, compressed)
		}
		for _, head := range []byte{0b1_100_1001, 0b0_100_0000, 0b1_010_0001, 0b1_110_0001} { // on a ping, a continuation; other bits
			q := h.connect(t)
			q.Upgrade("Sec-WebSocket-Extensions: " + offer)
			if head == 0b0_100_0000 {
				q.Put(masked(0b0_100_0001, []byte("x")), masked(head, []byte("y")))
			} else {
				q.Put(masked(head, []byte("x")))
			}
			q.WantClose(1002)
		}
		p.HangUp()
	}
	// Without Compression it is not accepted.
	p := serveWire(t, &handler{}, nil).connect(t)
	if got := p.Upgrade(offered)["Sec-WebSocket-Extensions"]; got != "" {
		t.Errorf("answered %q", got)
	}
	p.HangUp()
}

// TestDeflateMix: whatever is sent in whatever order, compressed, plain, by Reply, Send and from other
// goroutines, with control frames between, one persistent inflater reads it; over TLS too.
func TestDeflateMix(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, offer := range []string{"", "; server_no_context_takeover", "; server_max_window_bits=9", "; client_max_window_bits; server_max_window_bits=12"} {
			t.Run(fmt.Sprint("tls=", secure, offer), func(t *testing.T) {
				var h *house
				serve := func(cfg *loop.DoorConfig) {
					if cfg.Limits.MaxMessage = 1 << 20; secure {
						cfg.TLS = loop.NewTLSConfig(testkit.ServerTLS(t), false)
					}
					cfg.Compression.Plain = func(m []byte) bool { return bytes.Contains(m, []byte("secret")) }
				}
				h = serveDeflate(t, &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
					if len(p)%2 == 0 {
						c.Reply(op, p)
					} else {
						c.Send(op, p)
					}
				}}, serve)
				p := h.connect(t)
				p.Upgrade(offered + offer)
				f := &testkit.Inflater{NoContext: strings.Contains(offer, "server_no")}
				rnd := rand.New(rand.NewPCG(7, uint64(len(offer))))
				var want []string
				compressed := 0
				for i := range 400 {
					var m string
					switch rnd.IntN(12) {
					case 0:
						m = ""
					case 1:
						m = "secret " + event(i)
					case 2:
						m = strings.Repeat(event(i), 1+rnd.IntN(50))
					case 3:
						b := make([]byte, rnd.IntN(5000))
						for k := range b {
							b[k] = byte('a' + rnd.IntN(26))
						}
						m = string(b)
					case 4:
						if rnd.IntN(10) == 0 {
							m = strings.Repeat(event(i), 3000) // larger than what is made ahead
						}
					case 5:
						p.Put(masked(0b1_000_1001, []byte("ping")))
						p.Put(text("x"))
						p.WantMessage(frame.Pong, "ping")
						if got, _ := p.inflated(f); got != "x" {
							t.Fatalf("got %q", got)
						}
						continue
					default:
						m = event(i)
					}
					want = append(want, m)
					if rnd.IntN(2) == 0 {
						p.Put(message(frame.Text, []byte(m)))
					} else { // in two fragments, compressed
						d := testkit.Deflate(t, []byte(m))
						p.Put(masked(0b0_100_0001, d[:len(d)/2]), masked(0b1_000_1001, nil), masked(0b1_000_0000, d[len(d)/2:]))
						p.WantMessage(frame.Pong, "")
					}
					got, packed := p.inflated(f)
					if got != m {
						t.Fatalf("message %d: got %.60q, want %.60q", i, got, m)
					}
					if packed && strings.Contains(m, "secret") {
						t.Fatal("a secret was compressed")
					}
					if packed {
						compressed++
					}
				}
				if compressed == 0 || f.NoContext == (compressed > len(want)/2) {
					t.Errorf("%d of %d were compressed", compressed, len(want))
				}
				p.HangUp()
			})
		}
	}
}

// TestDeflateBombs: a message that inflates to too much closes with 1009, what is no deflate with 1007,
// an empty one with 1002, text that is none behind it with 1007; and nothing stays behind (S4, S6).
func TestDeflateBombs(t *testing.T) {
	h := serveDeflate(t, &handler{}, func(cfg *loop.DoorConfig) { cfg.Limits.MaxMessage = 1 << 20 })
	bomb := testkit.Deflate(t, make([]byte, 10<<20))
	for name, tc := range map[string]struct {
		head    byte
		payload []byte
		code    frame.CloseCode
	}{
		"bomb":    {deflatedBinary, bomb, frame.CloseTooBig},
		"garbage": {deflatedBinary, []byte{0xFF, 0xFF, 0xFF}, frame.CloseInvalidPayload},
		"empty":   {deflatedText, nil, frame.CloseProtocolError},
		"text":    {deflatedText, testkit.Deflate(t, []byte("\xff\xfe")), frame.CloseInvalidPayload},
	} {
		t.Run(name, func(t *testing.T) {
			var peers []*peer
			for range 64 {
				p := h.connect(t)
				p.Upgrade(offered)
				peers = append(peers, p)
			}
			for _, p := range peers {
				p.Put(masked(tc.head, tc.payload))
			}
			for _, p := range peers {
				p.WantClose(tc.code)
			}
		})
	}
	await(t, "nothing is held", func() bool { return h.eng.Held() == 0 })
}

// TestDeflateWhenAuthorized: who is let in to say later who it is gets no compression.
func TestDeflateWhenAuthorized(t *testing.T) {
	h := serveDeflate(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.Later, cfg.Protocols = []string{"later"}, []string{"later"}
		cfg.Authorize = func(_ context.Context, r *auth.Request) (auth.Grant, error) {
			if r.Header.Get("Authorization") == "" {
				return auth.Grant{}, auth.ErrAuthLater
			}
			return auth.Grant{}, nil
		}
	})
	p := h.connect(t)
	if got := p.Upgrade(offered, "Sec-WebSocket-Protocol: later")["Sec-WebSocket-Extensions"]; got != "" {
		t.Errorf("answered %q", got)
	}
	p.Close()
	p = h.connect(t)
	if got := p.Upgrade(offered, "Authorization: Bearer x")["Sec-WebSocket-Extensions"]; got == "" {
		t.Error("no compression for one that is authorized")
	}
	p.HangUp()
}

// TestDeflateShared: what many connections at the same place are sent is deflated once; nothing is
// kept of it when messages no longer flow, and none is compressed while memory is short.
func TestDeflateShared(t *testing.T) {
	conns := make(chan *loop.Conn, 10)
	h := serveDeflate(t, &handler{open: func(c *loop.Conn) { conns <- c }}, func(cfg *loop.DoorConfig) {
		cfg.Limits.PingInterval = 25 * time.Second
	})
	const n = 10
	var peers []*peer
	var to []*loop.Conn
	inflaters := make([]testkit.Inflater, n)
	for range n {
		p := h.connect(t)
		p.Upgrade(offered)
		peers, to = append(peers, p), append(to, <-conns)
	}
	send := func(i int) (compressed int) {
		t.Helper()
		for _, c := range to {
			c.Send(frame.Text, []byte(event(i)))
		}
		for k, p := range peers {
			got, packed := p.inflated(&inflaters[k])
			if got != event(i) {
				t.Fatalf("got %q", got)
			}
			if packed {
				compressed++
			}
		}
		return compressed
	}
	for i := range 20 {
		if got := send(i); got != n {
			t.Errorf("event %d: %d were compressed", i, got)
		}
	}
	if kept := loop.Remembered(to...); len(kept) != 1 {
		t.Errorf("%d things are kept for %d connections at one place", len(kept), n)
	}
	tuning := h.door.Tuning()
	tuning.PlainOnly = true
	h.door.Tune(tuning)
	if got := send(20); got != 0 || len(loop.Remembered(to...)) != 0 {
		t.Errorf("%d were compressed though memory is short, %d kept", got, len(loop.Remembered(to...)))
	}
	tuning.PlainOnly = false
	h.door.Tune(tuning)
	send(21)
	if got := send(22); got != n {
		t.Errorf("%d were compressed afterwards", got)
	}
	h.eng.Advance(26 * time.Second)
	for _, p := range peers {
		p.WantMessage(frame.Ping, "")
		p.Put(masked(0b1_000_1010, nil))
	}
	if kept := loop.Remembered(to...); len(kept) != 0 {
		t.Errorf("%d things are kept at rest", len(kept))
	}
	if got := send(23); got == 0 {
		t.Error("the first event after a rest does not begin anew")
	}
}

// TestDeflateDial: a client offers it, compresses what it sends, masked, and inflates what comes; over
// TLS too, with takeover and without.
func TestDeflateDial(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprint("tls=", secure, " takeover=", takeover), func(t *testing.T) {
				compression := loop.Compression{Enabled: true, Takeover: takeover}
				h := serveDeflate(t, &handler{}, func(cfg *loop.DoorConfig) {
					cfg.Compression = compression
					if secure {
						cfg.TLS = loop.NewTLSConfig(testkit.ServerTLS(t), false)
					}
				})
				engine, err := loop.NewEngine(1, nil, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				defer engine.Stop(context.Background())
				limits, _ := loop.Limits{}.WithDefaults()
				got := make(chan string, 1)
				dialer := engine.NewDialer(loop.EndpointConfig{
					Handler: &handler{message: func(_ *loop.Conn, _ frame.Opcode, p []byte) { got <- string(p) }},
					Limits:  limits, Log: slog.New(slog.DiscardHandler), Compression: compression,
				})
				cfg := loop.DialConfig{URL: "ws://localhost/ws", Request: handshake.DialRequest{Host: "localhost", Target: "/ws"}}
				if secure {
					cfg.TLS = loop.NewClientTLSConfig(testkit.ClientTLS(), "localhost")
				}
				c, _, err := dialer.Dial(t.Context(), testkit.Connect(t, h.addr, 0).Conn, cfg)
				if err != nil {
					t.Fatal(err)
				}
				before := h.stats().BytesIn
				sent := 0
				for i := range 200 {
					m := event(i)
					if i%10 == 0 {
						m = strings.Repeat(m, 2000)
					}
					sent += len(m)
					if c.Send(frame.Text, []byte(m)) == loop.Dropped {
						t.Fatal("dropped")
					}
					if back := testkit.Receive(t, "the echo", got); back != m {
						t.Fatalf("message %d came back as %.60q", i, back)
					}
				}
				if came := int(h.stats().BytesIn - before); came > sent/4 {
					t.Errorf("%d bytes on the wire for %d", came, sent)
				}
				c.Close(1000, "")
			})
		}
	}
}
