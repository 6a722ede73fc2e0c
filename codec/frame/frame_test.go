package frame

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

var testLimits = Limits{MaxMessage: 1 << 20, MaxFragments: 1024, Server: true}

// TestHeaderBits: the first two bytes of a frame, bit by bit (RFC 6455 §5.2).
func TestHeaderBits(t *testing.T) {
	for _, tc := range []struct {
		why  string
		b0   byte // FIN RSV1-3 opcode
		b1   byte // MASK length
		code CloseCode
	}{
		{"final text, masked", 0b1_000_0001, 0b1_0000101, 0},
		{"final binary, masked", 0b1_000_0010, 0b1_0000101, 0},
		{"first fragment of text", 0b0_000_0001, 0b1_0000101, 0},
		{"ping", 0b1_000_1001, 0b1_0000101, 0},
		{"unmasked from a client (5.1)", 0b1_000_0001, 0b0_0000101, CloseProtocolError},
		{"RSV1 without an extension (5.2)", 0b1_100_0001, 0b1_0000101, CloseProtocolError},
		{"RSV2", 0b1_010_0001, 0b1_0000101, CloseProtocolError},
		{"RSV3", 0b1_001_0001, 0b1_0000101, CloseProtocolError},
		{"reserved data opcode 3", 0b1_000_0011, 0b1_0000101, CloseProtocolError},
		{"reserved control opcode B", 0b1_000_1011, 0b1_0000101, CloseProtocolError},
		{"fragmented ping (5.5)", 0b0_000_1001, 0b1_0000101, CloseProtocolError},
		{"ping of 126 bytes (5.5)", 0b1_000_1001, 0b1_1111110, CloseProtocolError},
		{"continuation of nothing (5.4)", 0b1_000_0000, 0b1_0000101, CloseProtocolError},
	} {
		t.Run(tc.why, func(t *testing.T) {
			// Two bytes are enough to judge all of these.
			_, n, err := parseHeader([]byte{tc.b0, tc.b1}, &testLimits, false)
			if n != 0 {
				t.Errorf("took %d bytes of an incomplete header", n)
			}
			if got := codeOf(err); got != tc.code {
				t.Errorf("code %v (%v), want %v", got, err, tc.code)
			}
		})
	}
}

func codeOf(err error) CloseCode {
	if err == nil {
		return 0
	}
	return CodeOf(err)
}

func TestLengths(t *testing.T) {
	for _, tc := range []struct {
		why  string
		head []byte
		code CloseCode
	}{
		{"125 in seven bits", []byte{0x82, 0xFD, 1, 2, 3, 4}, 0},
		{"126 in sixteen", []byte{0x82, 0xFE, 0, 126, 1, 2, 3, 4}, 0},
		{"125 in sixteen is not minimal", []byte{0x82, 0xFE, 0, 125, 1, 2, 3, 4}, CloseProtocolError},
		{"65536 in sixty-four", []byte{0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, 0},
		{"65535 in sixty-four is not minimal", []byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4}, CloseProtocolError},
		{"limit+1", []byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4}, CloseTooBig},
		{"2^31", []byte{0x82, 0xFF, 0, 0, 0, 0, 0x80, 0, 0, 0, 1, 2, 3, 4}, CloseTooBig},
		{"2^32", []byte{0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, CloseTooBig},
		{"2^63-1", []byte{0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, CloseTooBig},
		{"2^63", []byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, CloseProtocolError},
		{"2^64-1", []byte{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, CloseProtocolError},
	} {
		t.Run(tc.why, func(t *testing.T) {
			for cut := 1; cut < len(tc.head); cut++ {
				var r Reader
				_, _, err := r.Next(tc.head[:cut:cut], &testLimits)
				if err == nil {
					_, _, err = r.Next(tc.head[cut:], &testLimits)
				}
				if got := codeOf(err); got != tc.code {
					t.Errorf("cut at %d: code %v (%v), want %v", cut, got, err, tc.code)
				}
				r.Reset()
			}
			if _, _, err := Whole(tc.head, &testLimits); codeOf(err) != tc.code {
				t.Errorf("whole: %v, want %v", err, tc.code)
			}
		})
	}
}

// frame is a test's way to write one.
func frame(fin bool, op Opcode, payload []byte, mask *[4]byte) []byte {
	b := make([]byte, HeaderSize(len(payload), mask != nil))
	body := bytes.Clone(payload)
	if mask != nil {
		PutMasked(b, op, body, *mask)
	} else {
		PutHeader(b, op, len(body))
	}
	if !fin {
		b[0] &^= 0x80
	}
	return append(b, body...)
}

// collect feeds stream in pieces as a connection does and returns what came out, with the code of
// the error at the end.
func collect(stream []byte, pieces []int, lim Limits) (out []string, code CloseCode) {
	var r Reader
	defer r.Reset()
	stream = bytes.Clone(stream) // Whole unmasks in place
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(pieces) > 0 {
			n = min(n, 1+pieces[i%len(pieces)])
		}
		view := stream[:n]
		stream = stream[n:]
		for len(view) > 0 {
			var m Message
			var n int
			var err error
			if r.Empty() {
				m, n, err = Whole(view, &lim)
			}
			if n == 0 && err == nil {
				m, n, err = r.Next(view, &lim)
			}
			if err != nil {
				return out, CodeOf(err)
			}
			if m.Opcode != 0 {
				mark := ""
				if m.Deflated {
					mark = "z"
				}
				out = append(out, fmt.Sprintf("%x%s:%s", byte(m.Opcode), mark, m.Payload))
			}
			view = view[n:]
		}
	}
	return out, 0
}

func TestFragmentsWithControlBetween(t *testing.T) {
	mask := [4]byte{9, 8, 7, 6}
	var s []byte
	s = append(s, frame(false, Text, []byte("kö"), &mask)...)
	s = append(s, frame(true, Ping, []byte("p"), &mask)...)
	s = append(s, frame(false, Continuation, nil, &mask)...)
	s = append(s, frame(true, Pong, nil, &mask)...)
	s = append(s, frame(true, Continuation, []byte("nig"), &mask)...)
	s = append(s, frame(true, Binary, []byte{0xFF}, &mask)...)
	want := []string{"9:p", "a:", "1:könig", "2:\xff"}
	for size := range len(s) {
		got, code := collect(s, []int{size}, testLimits)
		if code != 0 || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("pieces of %d: %q %v, want %q", size+1, got, code, want)
		}
	}
}

// TestUTF8FailsFast: bad text is found at its first bad byte, however it is cut.
func TestUTF8FailsFast(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for _, tc := range []struct {
		why  string
		text string
		ok   bool
	}{
		{"ascii", "hello", true},
		{"two, three and four bytes", "é€🙂", true},
		{"lone continuation", "a\x80b", false},
		{"overlong", "\xc0\xaf", false},
		{"surrogate", "\xed\xa0\x80", false},
		{"beyond U+10FFFF", "\xf4\x90\x80\x80", false},
		{"cut short", "abc\xe2\x82", false},
		{"cut short in four", "abc\xf0\x9f\x99", false},
	} {
		t.Run(tc.why, func(t *testing.T) {
			for cut := range len(tc.text) + 1 {
				s := append(frame(false, Text, []byte(tc.text[:cut]), &mask), frame(true, Continuation, []byte(tc.text[cut:]), &mask)...)
				for size := range 6 {
					_, code := collect(s, []int{size}, testLimits)
					if want := map[bool]CloseCode{true: 0, false: CloseInvalidPayload}[tc.ok]; code != want {
						t.Fatalf("cut at %d, pieces of %d: code %v, want %v", cut, size+1, code, want)
					}
				}
			}
		})
	}
	// The rest of a message of 1,000 bytes is not needed to judge its third.
	s := frame(true, Text, append([]byte("a\xff"), make([]byte, 998)...), &mask)[:6+4+2+2]
	if _, code := collect(s, []int{0}, testLimits); code != CloseInvalidPayload {
		t.Errorf("code %v before the message was whole, want 1007", code)
	}
}

func TestFragmentLimit(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for _, payload := range [][]byte{nil, {'x'}} {
		s := frame(false, Text, payload, &mask)
		for range 1023 {
			s = append(s, frame(false, Continuation, payload, &mask)...)
		}
		if _, code := collect(s, nil, testLimits); code != 0 {
			t.Errorf("1,024 fragments of %d: code %v", len(payload), code)
		}
		s = append(s, frame(true, Continuation, payload, &mask)...)
		if _, code := collect(s, nil, testLimits); code != ClosePolicy {
			t.Errorf("1,025 fragments of %d: code %v, want 1008", len(payload), code)
		}
	}
}

func TestMessageLimitOverFragments(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	lim := Limits{MaxMessage: 100, MaxFragments: 10, Server: true}
	exact := append(frame(false, Binary, make([]byte, 60), &mask), frame(true, Continuation, make([]byte, 40), &mask)...)
	if _, code := collect(exact, nil, lim); code != 0 {
		t.Errorf("100 bytes: code %v", code)
	}
	over := append(frame(false, Binary, make([]byte, 60), &mask), frame(true, Continuation, make([]byte, 41), &mask)[:6]...)
	if _, code := collect(over, nil, lim); code != CloseTooBig {
		t.Errorf("101 bytes: code %v, want 1009 from the header alone", code)
	}
}

func TestClosePayloads(t *testing.T) {
	for code := range CloseCode(math.MaxUint16) {
		allowed := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code < 5000
		_, _, err := ParseClose([]byte{byte(code >> 8), byte(code)})
		if (err == nil) != allowed {
			t.Errorf("code %d: %v", code, err)
		}
	}
	if _, _, err := ParseClose([]byte{3}); codeOf(err) != CloseProtocolError {
		t.Errorf("one byte: %v", err)
	}
	if _, _, err := ParseClose([]byte("\x03\xe8\xff")); codeOf(err) != CloseInvalidPayload {
		t.Errorf("bad reason: %v", err)
	}
	if code, _, err := ParseClose(nil); code != CloseNoStatus || err != nil {
		t.Errorf("empty: %v %v", code, err)
	}
	long := AppendClose(nil, CloseNormal, strings.Repeat("é", 100))
	if _, reason, err := ParseClose(long); err != nil || len(long) > MaxControl || len(reason) != 122 {
		t.Errorf("long reason: %d bytes, %v", len(long), err)
	}
	if b := AppendClose(nil, CloseAbnormal, "x"); b != nil {
		t.Errorf("1006 on the wire: %x", b)
	}
}

func TestMasksDiffer(t *testing.T) {
	var m Masks
	seen := map[[4]byte]int{}
	for range 10000 {
		seen[m.Next()]++
	}
	// 10,000 draws of 2^32 collide about 0.01 times.
	if len(seen) < 9995 {
		t.Errorf("%d different masks of 10,000", len(seen))
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, code := collect([]byte{0xFF, 0xFF}, nil, testLimits)
	if code != CloseProtocolError {
		t.Fatal(code)
	}
	if CodeOf(errors.New("x")) != CloseInternal {
		t.Error("an unknown error is not 1011")
	}
}
