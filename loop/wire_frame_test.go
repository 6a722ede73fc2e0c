package loop_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// pattern is n bytes that are valid text and do not repeat with any small period.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + (i*i+i/251)%90)
	}
	return b
}

func TestWireEchoLengths(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} { // the forms of a length: §5.2
		for _, b0 := range []byte{0b1_000_0001, 0b1_000_0010} {
			t.Run(fmt.Sprintf("%08b/%d", b0, n), func(t *testing.T) {
				p := s.dial(t)
				payload := pattern(n)
				if b0 == 0b1_000_0010 && n > 0 {
					payload[n/2] = 0xFF // no UTF-8
				}
				frame := masked(b0, payload)
				p.Put(frame)
				p.Want(b0, payload)

				cuts := len(frame)
				if n > 127 {
					cuts = 14 // the longest header, and no payload byte
				}
				for i := 1; i < cuts; i++ {
					p.putApart(frame[:i], frame[i:])
					p.Want(b0, payload)
				}
				if n > 127 {
					p.putApart(chunks(frame, 1+len(frame)/12)...)
				} else {
					p.putApart(eachByte(frame)...)
				}
				p.Want(b0, payload)
				p.HangUp()
			})
		}
	}
}

// chunks cuts b at random places, into pieces of up to most bytes.
func chunks(b []byte, most int) (parts [][]byte) {
	rnd := rand.New(rand.NewPCG(6455, uint64(len(b))))
	for len(b) > 0 {
		n := min(1+rnd.IntN(most), len(b))
		parts, b = append(parts, b[:n]), b[n:]
	}
	return parts
}

func TestWirePipelined(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	p := s.dial(t)
	var stream []byte
	for i := range 500 {
		stream = append(stream, masked(0b1_000_0010, pattern(i))...)
	}
	for _, most := range []int{len(stream), 5000, 700} {
		p.putApart(chunks(stream, most)...)
		for i := range 500 {
			p.Want(0b1_000_0010, pattern(i))
		}
	}
	p.HangUp()
}

func TestWireFragments(t *testing.T) {
	frag := func(b0 byte, s string) []byte { return masked(b0, []byte(s)) }
	tests := []struct {
		name   string
		frames [][]byte
		want   [][]byte // frames of the server
	}{
		{"two, §5.4", [][]byte{frag(0b0_000_0001, "Hel"), frag(0b1_000_0000, "lo")}, [][]byte{plain(0b1_000_0001, []byte("Hello"))}},
		{"binary", [][]byte{frag(0b0_000_0010, "\xFF"), frag(0b0_000_0000, "\xFE"), frag(0b1_000_0000, "\xFD")}, [][]byte{plain(0b1_000_0010, []byte("\xFF\xFE\xFD"))}},
		{"all empty", [][]byte{frag(0b0_000_0001, ""), frag(0b0_000_0000, ""), frag(0b1_000_0000, "")}, [][]byte{plain(0b1_000_0001, nil)}},
		{"empty ends", [][]byte{frag(0b0_000_0001, ""), frag(0b0_000_0000, "x"), frag(0b1_000_0000, "")}, [][]byte{plain(0b1_000_0001, []byte("x"))}},
		{
			"control frames between, §5.5",
			[][]byte{frag(0b0_000_0001, "a"), frag(0b1_000_1001, "p1"), frag(0b0_000_0000, "b"), frag(0b1_000_1010, "unasked"), frag(0b1_000_1001, ""), frag(0b1_000_0000, "c")},
			[][]byte{plain(0b1_000_1010, []byte("p1")), plain(0b1_000_1010, nil), plain(0b1_000_0001, []byte("abc"))},
		},
		{
			"ping of the greatest length between",
			[][]byte{frag(0b0_000_0001, "a"), masked(0b1_000_1001, pattern(125)), frag(0b1_000_0000, "b")},
			[][]byte{plain(0b1_000_1010, pattern(125)), plain(0b1_000_0001, []byte("ab"))},
		},
	}
	s := serveWire(t, &handler{}, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := s.dial(t)
			stream, want := join(tt.frames...), join(tt.want...)
			check := func(parts ...[]byte) {
				t.Helper()
				p.putApart(parts...)
				got := make([]byte, len(want))
				p.Fill(got)
				if !bytes.Equal(got, want) {
					t.Fatalf("got  %q\nwant %q", got, want)
				}
			}
			check(stream)
			check(tt.frames...)
			check(eachByte(stream)...)
			for i := 1; i < len(stream); i++ {
				check(stream[:i], stream[i:])
			}
			p.HangUp()
		})
	}
}

func TestWirePing(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	p := s.dial(t)
	for _, n := range []int{0, 1, 124, 125} { // §5.5.3: the same payload
		frame := masked(0b1_000_1001, pattern(n))
		p.Put(frame)
		p.Want(0b1_000_1010, pattern(n))
		p.putApart(eachByte(frame)...)
		p.Want(0b1_000_1010, pattern(n))
		p.Put(masked(0b1_000_1010, pattern(n))) // a pong nobody asked for is ignored
	}
	p.Put(text("after"))
	p.Want(0b1_000_0001, []byte("after"))
	p.HangUp()
}

// TestWireViolations: each row ends the connection with its code, however its bytes arrive, and no
// handler hears of it.
func TestWireViolations(t *testing.T) {
	start := masked(0b0_000_0001, []byte("start")) // a fragmented message is open
	bit := func(b ...byte) []byte { return append(b, 0x37, 0xFA, 0x21, 0x3D) }
	type row struct {
		name  string
		bytes []byte
		code  frame.CloseCode
	}
	rows := []row{
		{"RSV1, §5.2", bit(0b1_100_0001, 0b1_0000000), 1002},
		{"RSV2", bit(0b1_010_0001, 0b1_0000000), 1002},
		{"RSV3", bit(0b1_001_0010, 0b1_0000000), 1002},
		{"RSV1 on a ping", bit(0b1_100_1001, 0b1_0000000), 1002},
		{"RSV1 on a close", bit(0b1_100_1000, 0b1_0000000), 1002},
		{"RSV1 on a continuation", join(start, bit(0b1_100_0000, 0b1_0000000)), 1002},

		{"text without mask, §5.1", []byte{0b1_000_0001, 0b0_0000001, 'x'}, 1002},
		{"empty binary without mask", []byte{0b1_000_0010, 0b0_0000000}, 1002},
		{"ping without mask", []byte{0b1_000_1001, 0b0_0000000}, 1002},
		{"close without mask", []byte{0b1_000_1000, 0b0_0000010, 0x03, 0xE8}, 1002},

		{"fragmented ping, §5.5", bit(0b0_000_1001, 0b1_0000000), 1002},
		{"fragmented pong", bit(0b0_000_1010, 0b1_0000000), 1002},
		{"fragmented close", bit(0b0_000_1000, 0b1_0000000), 1002},
		{"ping of 126", bit(0b1_000_1001, 0b1_1111110, 0, 126), 1002},
		{"pong of 65536", bit(0b1_000_1010, 0b1_1111111, 0, 0, 0, 0, 0, 1, 0, 0), 1002},
		{"close of 126", bit(0b1_000_1000, 0b1_1111110, 0, 126), 1002},

		{"continuation of nothing, §5.4", bit(0b1_000_0000, 0b1_0000000), 1002},
		{"fragment of nothing", bit(0b0_000_0000, 0b1_0000000), 1002},
		{"continuation after the end", join(start, masked(0b1_000_0000, nil), bit(0b1_000_0000, 0b1_0000000)), 1002},
		{"text inside a message", join(start, bit(0b1_000_0001, 0b1_0000000)), 1002},
		{"fragment inside a message", join(start, bit(0b0_000_0001, 0b1_0000000)), 1002},
		{"binary inside a message", join(start, bit(0b1_000_0010, 0b1_0000000)), 1002},

		{"0 in 16 bits, §5.2", bit(0b1_000_0001, 0b1_1111110, 0, 0), 1002},
		{"125 in 16 bits", bit(0b1_000_0001, 0b1_1111110, 0, 125), 1002},
		{"0 in 64 bits", bit(0b1_000_0001, 0b1_1111111, 0, 0, 0, 0, 0, 0, 0, 0), 1002},
		{"126 in 64 bits", bit(0b1_000_0010, 0b1_1111111, 0, 0, 0, 0, 0, 0, 0, 126), 1002},
		{"65535 in 64 bits", bit(0b1_000_0010, 0b1_1111111, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF), 1002},
		{"125 in 16 bits, continued", join(start, bit(0b1_000_0000, 0b1_1111110, 0, 125)), 1002},

		{"64 bits, the highest set, §5.2", bit(0b1_000_0010, 0b1_1111111, 0x80, 0, 0, 0, 0, 0, 0, 0), 1002},
		{"64 bits, all set", bit(0b1_000_0010, 0b1_1111111, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), 1002},
		{"64 bits, all set, continued", join(start, bit(0b1_000_0000, 0b1_1111111, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), 1002},
		{"2^63-1", bit(0b1_000_0010, 0b1_1111111, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), 1009},
		{"2^63-1, continued", join(start, bit(0b1_000_0000, 0b1_1111111, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), 1009},
		{"2^32", bit(0b1_000_0010, 0b1_1111111, 0, 0, 0, 1, 0, 0, 0, 0), 1009},
		{"2^31", bit(0b1_000_0001, 0b1_1111111, 0, 0, 0, 0, 0x80, 0, 0, 0), 1009},
		{"limit+1", bit(0b1_000_0001, 0b1_1111111, 0, 0, 0, 0, 0, 0x10, 0, 1), 1009},
		{"limit+1, in a fragment", bit(0b0_000_0001, 0b1_1111111, 0, 0, 0, 0, 0, 0x10, 0, 1), 1009},
		{"limit-4 after 5", join(start, bit(0b1_000_0000, 0b1_1111111, 0, 0, 0, 0, 0, 0x0F, 0xFF, 0xFC)), 1009},
	}
	for op := byte(0x3); op <= 0xF; op++ {
		if op < 0x8 || op > 0xA {
			rows = append(rows, row{fmt.Sprintf("opcode %X, §5.2", op), bit(0b1_000_0000|op, 0b1_0000000), 1002})
		}
	}
	h := &handler{}
	h.message = func(_ *loop.Conn, _ frame.Opcode, payload []byte) {
		if string(payload) != "start" { // of "continuation after the end"
			h.complain(fmt.Sprintf("message %q", payload))
		}
	}
	s := serveWire(t, h, nil)
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			try := func(parts ...[]byte) {
				t.Helper()
				p := s.dial(t)
				p.putApart(parts...)
				p.WantClose(tt.code)
			}
			try(tt.bytes)
			try(eachByte(tt.bytes)...)
			for i := 1; i < len(tt.bytes); i++ {
				try(tt.bytes[:i], tt.bytes[i:])
			}
		})
	}
	await(t, "every connection gone", func() bool { return h.opened.Load() == h.closed.Load() })
	if why := h.why.Load(); why.Remote || why.Code != 1002 || why.Cause == nil {
		t.Errorf("OnClose was told %v", why)
	}
}

// TestWireTooManyFragments: 1,024 frames are a message, empty ones count, and the header of the
// next is enough.
func TestWireTooManyFragments(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	for _, tt := range []struct {
		name    string
		payload string
	}{{"of one byte", "x"}, {"empty", ""}} {
		t.Run(tt.name, func(t *testing.T) {
			first, more, last := masked(0b0_000_0001, []byte(tt.payload)), masked(0b0_000_0000, []byte(tt.payload)), masked(0b1_000_0000, []byte(tt.payload))
			p := s.dial(t)
			p.Put(first, bytes.Repeat(more, 1022), text(""))
			p.WantClose(1002) // a text frame inside: the message is still open after 1,023

			p = s.dial(t)
			ping := masked(0b1_000_1001, nil) // control frames are no fragments
			p.Put(first, ping, bytes.Repeat(more, 1022), ping, last)
			p.Want(0b1_000_1010, nil)
			p.Want(0b1_000_1010, nil)
			p.Want(0b1_000_0001, bytes.Repeat([]byte(tt.payload), 1024))
			p.HangUp()

			p = s.dial(t)
			p.Put(first, bytes.Repeat(more, 1023), last)
			p.WantClose(1008)

			p = s.dial(t)
			p.putApart(join(first, bytes.Repeat(more, 1023)), last[:6]) // its header is enough
			p.WantClose(1008)
		})
	}
}

func TestWireMessageLimit(t *testing.T) {
	h := &handler{}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) { cfg.Limits.MaxMessage = 1000 })
	frag := func(b0 byte, n int) []byte { return masked(b0, pattern(1001)[:n]) }
	tests := []struct {
		name   string
		frames [][]byte
		ok     bool
	}{
		{"exact", [][]byte{frag(0b1_000_0010, 1000)}, true},
		{"one more", [][]byte{frag(0b1_000_0010, 1001)}, false},
		{"exact in two", [][]byte{frag(0b0_000_0010, 400), frag(0b1_000_0000, 600)}, true},
		{"one more in two", [][]byte{frag(0b0_000_0010, 400), frag(0b1_000_0000, 601)}, false},
		{"exact and an empty end", [][]byte{frag(0b0_000_0010, 1000), frag(0b1_000_0000, 0)}, true},
		{"exact and one more", [][]byte{frag(0b0_000_0010, 1000), frag(0b1_000_0000, 1)}, false},
		{"more than all in the first fragment", [][]byte{frag(0b0_000_0010, 1001)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stream := join(tt.frames...)
			for _, parts := range [][][]byte{{stream}, tt.frames, chunks(stream, 100)} {
				p := s.dial(t)
				before := h.messages.Load()
				p.putApart(parts...)
				if !tt.ok {
					p.WantClose(1009)
					if n := h.messages.Load() - before; n != 0 {
						t.Errorf("the handler heard of %d messages", n)
					}
					continue
				}
				if f := p.Frame(); f.Head != 0b1_000_0010 || len(f.Payload) != 1000 {
					t.Fatalf("got frame %08b with %d bytes", f.Head, len(f.Payload))
				}
				p.HangUp()
			}
		})
	}
}

// TestWireControlBelowMessageLimit: the limit is for messages; control frames have their own.
func TestWireControlBelowMessageLimit(t *testing.T) {
	s := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) { cfg.Limits.MaxMessage = 16 })
	ping := masked(0b1_000_1001, pattern(125))
	for _, parts := range [][][]byte{eachByte(ping), {ping}} {
		p := s.dial(t)
		p.putApart(parts...)
		p.Want(0b1_000_1010, pattern(125))
		p.HangUp()
	}
}

func TestWireText(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	long := strings.Repeat("κόσμε ", 40) // long enough for a vector unit
	for _, sample := range []string{"κόσμε", "ᴬ€ࠀ\uFFFF", "𐍈\U0010FFFF\U00010000", "\x00\x7F\u0080\u07FF", long} {
		p := s.dial(t)
		b := []byte(sample)
		frames := [][]byte{masked(0b0_000_0001, nil)}
		for i := range b {
			frames = append(frames, masked(0b0_000_0000, b[i:i+1]))
		}
		frames = append(frames, masked(0b1_000_0000, nil))
		whole := text(sample)
		for _, parts := range [][][]byte{{whole}, eachByte(whole), frames, {join(frames...)}} {
			p.putApart(parts...)
			p.Want(0b1_000_0001, b)
		}
		for i := range b { // §5.6: fragments need not end where characters do
			p.Put(masked(0b0_000_0001, b[:i]), masked(0b1_000_0000, b[i:]))
			p.Want(0b1_000_0001, b)
			p.putApart(whole[:len(whole)-i], whole[len(whole)-i:])
			p.Want(0b1_000_0001, b)
		}
		p.HangUp()
	}
}

// TestWireBadText: text fails with 1007 at the first byte that no character can have there, before
// the frame and the message end (§8.1).
func TestWireBadText(t *testing.T) {
	tests := []struct {
		name string
		bad  string
		at   int // bytes of bad that suffice
	}{
		{"lone continuation", "\x80", 1},
		{"two-byte overlong", "\xC0\xAF", 1},
		{"three-byte overlong", "\xE0\x80\xAF", 2},
		{"four-byte overlong", "\xF0\x80\x80\xAF", 2},
		{"surrogate", "\xED\xA0\x80", 2},
		{"above 10FFFF", "\xF4\x90\x80\x80", 2},
		{"F5", "\xF5\x80\x80\x80", 1},
		{"FE", "\xFE", 1},
		{"FF", "\xFF", 1},
		{"cut off by ASCII", "\xE2\x82A", 3},
		{"cut off by another start", "\xF0\x90\x8D\xC3\xA9", 4},
	}
	h := &handler{}
	s := serveWire(t, h, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, good := range []string{"", "é", pad("é", 63), pad("é", 64), pad("é", 65), pad("é", 1000)} {
				enough := good + tt.bad[:tt.at]
				whole := masked(0b1_000_0001, []byte(enough+tt.bad[tt.at:]+"more"))
				size := len(whole) - len(tt.bad[tt.at:]+"more")
				tries := [][][]byte{
					{whole},
					{whole[:size]}, // the frame has not ended
					{whole[:size-1], whole[size-1 : size]},
					{masked(0b0_000_0001, []byte(enough))}, // the message has not ended
					{masked(0b0_000_0001, []byte(enough[:len(enough)-1])), masked(0b0_000_0000, []byte(enough[len(enough)-1:]))},
				}
				for _, parts := range tries {
					p := s.dial(t)
					p.putApart(parts...)
					p.WantClose(1007)
				}
			}
		})
	}
	for _, cut := range []string{"\xC3", "\xE2\x82", "\xF0\x90\x8D", "good\xF0\x90"} { // the message ends inside a character
		for _, parts := range [][][]byte{
			{text(cut)},
			eachByte(text(cut)),
			{masked(0b0_000_0001, []byte(cut)), masked(0b1_000_0000, nil)},
		} {
			p := s.dial(t)
			p.putApart(parts...)
			p.WantClose(1007)
		}
	}
	if n := h.messages.Load(); n != 0 {
		t.Errorf("the handler heard of %d bad messages", n)
	}
}

// pad repeats s, a text of two bytes, and fills up with a, to n bytes.
func pad(s string, n int) string { return strings.Repeat("a", n%2) + strings.Repeat(s, n/2) }

// TestWireDeclaredLength: memory grows with the bytes received, not with a length declared.
func TestWireDeclaredLength(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const conns = 100
	start := masked(0b1_000_0010, make([]byte, 1<<20))[:20]
	for range conns {
		p := s.dial(t)
		p.putApart(start)
		defer p.Close()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / conns; each > 32<<10 {
		t.Errorf("%d bytes for each connection, both ends", each)
	}
}
