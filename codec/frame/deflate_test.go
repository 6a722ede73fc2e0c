package frame

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

// compressed is frame for one that begins a compressed message.
func compressed(fin bool, op Opcode, payload []byte, mask *[4]byte) []byte {
	b := frame(fin, op, payload, mask)
	b[0] |= Compressed
	return b
}

// TestHeaderBitsDeflate: RSV1 means something on the first frame of a data message alone, where that was
// agreed on (RFC 7692 §6).
func TestHeaderBitsDeflate(t *testing.T) {
	for _, tc := range []struct {
		why        string
		b0         byte // FIN RSV1-3 opcode
		fragmented bool
		code       CloseCode
	}{
		{"whole text", 0b1_100_0001, false, 0},
		{"whole binary", 0b1_100_0010, false, 0},
		{"first fragment", 0b0_100_0001, false, 0},
		{"plain text", 0b1_000_0001, false, 0},
		{"plain continuation", 0b0_000_0000, true, 0},
		{"plain ping between", 0b1_000_1001, true, 0},
		{"a second message between", 0b1_100_0001, true, CloseProtocolError},
		{"continuation", 0b0_100_0000, true, CloseProtocolError},
		{"last continuation", 0b1_100_0000, true, CloseProtocolError},
		{"continuation of nothing", 0b1_100_0000, false, CloseProtocolError},
		{"ping", 0b1_100_1001, false, CloseProtocolError},
		{"pong", 0b1_100_1010, false, CloseProtocolError},
		{"close", 0b1_100_1000, false, CloseProtocolError},
		{"ping between", 0b1_100_1001, true, CloseProtocolError},
		{"reserved data opcode 3", 0b1_100_0011, false, CloseProtocolError},
		{"RSV2", 0b1_010_0001, false, CloseProtocolError},
		{"RSV3", 0b1_001_0001, false, CloseProtocolError},
		{"RSV1 and RSV2", 0b1_110_0001, false, CloseProtocolError},
		{"RSV1 and RSV3", 0b1_101_0001, false, CloseProtocolError},
		{"all three", 0b1_111_0001, false, CloseProtocolError},
	} {
		t.Run(tc.why, func(t *testing.T) {
			for _, server := range []bool{true, false} {
				lim := Limits{MaxMessage: 1 << 20, MaxFragments: 1024, Server: server, Deflate: true}
				b1 := byte(5)
				if server {
					b1 |= 0x80
				}
				if _, _, err := parseHeader([]byte{tc.b0, b1}, &lim, tc.fragmented); codeOf(err) != tc.code {
					t.Errorf("server %t: code %v (%v), want %v", server, codeOf(err), err, tc.code)
				}
				lim.Deflate = false
				if _, _, err := parseHeader([]byte{tc.b0, b1}, &lim, tc.fragmented); tc.b0&Compressed != 0 && codeOf(err) != CloseProtocolError {
					t.Errorf("server %t, not agreed on: %v", server, err)
				}
			}
		})
	}
}

// TestDeflatedMessages: a message says whether it is compressed, in fragments with control frames
// between too, and none after it has it from there. What is compressed is not UTF-8 yet.
func TestDeflatedMessages(t *testing.T) {
	for _, server := range []bool{true, false} {
		lim := Limits{MaxMessage: 1 << 20, MaxFragments: 1024, Server: server, Deflate: true}
		var mask *[4]byte
		if server {
			mask = &[4]byte{9, 8, 7, 6}
		}
		s := slices.Concat(
			compressed(true, Text, []byte("\xff\xfe"), mask),
			frame(true, Text, []byte("plain"), mask),
			compressed(false, Text, []byte("\xff"), mask),
			frame(true, Ping, []byte("p"), mask),
			frame(false, Continuation, nil, mask),
			frame(true, Pong, nil, mask),
			frame(true, Continuation, []byte("\xfe"), mask),
			frame(false, Text, []byte("k\xc3"), mask),
			frame(true, Continuation, []byte("\xb6"), mask),
			compressed(true, Binary, make([]byte, 300), mask),
			compressed(true, Binary, nil, mask),
			frame(true, Text, []byte("end"), mask),
		)
		want := []string{"1z:\xff\xfe", "1:plain", "9:p", "a:", "1z:\xff\xfe", "1:kö", "2z:" + string(make([]byte, 300)), "2z:", "1:end"}
		for size := range len(s) {
			if got, code := collect(s, []int{size}, lim); code != 0 || !slices.Equal(got, want) {
				t.Fatalf("server %t, pieces of %d: %q %v, want %q", server, size+1, got, code, want)
			}
		}
		// Behind a compressed message a plain one is text again.
		bad := append(compressed(false, Text, []byte("\xff"), mask), frame(true, Continuation, nil, mask)...)
		bad = append(bad, frame(true, Text, []byte("\xff"), mask)...)
		for size := range len(bad) {
			if got, code := collect(bad, []int{size}, lim); code != CloseInvalidPayload || len(got) != 1 {
				t.Fatalf("server %t, pieces of %d: %q %v", server, size+1, got, code)
			}
		}
	}
}

// TestDeflatedBits: frames that break the rule on RSV1 fail wherever they are cut, and nothing of them
// comes out.
func TestDeflatedBits(t *testing.T) {
	mask := &[4]byte{1, 2, 3, 4}
	lim := Limits{MaxMessage: 1 << 20, MaxFragments: 1024, Server: true, Deflate: true}
	for why, s := range map[string][]byte{
		"continuation of a compressed message": append(compressed(false, Text, []byte("a"), mask), compressed(true, Continuation, []byte("b"), mask)...),
		"continuation of a plain one":          append(frame(false, Text, []byte("a"), mask), compressed(true, Continuation, []byte("b"), mask)...),
		"ping":                                 compressed(true, Ping, []byte("a"), mask),
		"ping between":                         append(compressed(false, Text, []byte("a"), mask), compressed(true, Ping, nil, mask)...),
		"close":                                compressed(true, Close, []byte("\x03\xe8"), mask),
		"another message between":              append(compressed(false, Text, []byte("a"), mask), compressed(true, Text, []byte("b"), mask)...),
	} {
		for size := range len(s) {
			if got, code := collect(s, []int{size}, lim); code != CloseProtocolError || len(got) != 0 {
				t.Errorf("%s, pieces of %d: %q %v", why, size+1, got, code)
			}
		}
	}
}

// TestDeflatedLimit: a compressed payload may have the limit and what deflate adds at worst, five bytes
// to each block of what cannot be compressed, and no byte more; a plain one not even that. The header
// alone shows it, of one frame and of many.
func TestDeflatedLimit(t *testing.T) {
	mask := &[4]byte{1, 2, 3, 4}
	for _, limit := range []int64{0, 1, 100, 1000, 1 << 16, 1 << 20} {
		lim := Limits{MaxMessage: limit, MaxFragments: 10, Server: true, Deflate: true}
		most := lim.most(true)
		if stored := limit + 5*(limit/math.MaxUint16+1) + 1; most < stored {
			t.Errorf("limit %d: %d bytes at most, %d are what stored blocks need", limit, most, stored)
		}
		if most > limit+limit/1000+100 {
			t.Errorf("limit %d: %d bytes at most", limit, most)
		}
		head := func(n int64) []byte {
			b := frame(true, Binary, make([]byte, n), mask)
			return b[:HeaderLen(b)]
		}
		for _, tc := range []struct {
			n      int64
			packed bool
			code   CloseCode
		}{{limit, false, 0}, {limit + 1, false, CloseTooBig}, {most, true, 0}, {most + 1, true, CloseTooBig}} {
			b := head(tc.n)
			if tc.packed {
				b[0] |= Compressed
			}
			if _, _, err := Whole(b, &lim); codeOf(err) != tc.code {
				t.Errorf("limit %d: Whole of %d, compressed %t: %v", limit, tc.n, tc.packed, err)
			}
			var r Reader
			if _, _, err := r.Next(b, &lim); codeOf(err) != tc.code {
				t.Errorf("limit %d: Next of %d, compressed %t: %v", limit, tc.n, tc.packed, err)
			}
			r.Reset()
		}
		for _, more := range []int64{0, 1} { // the second fragment is the one too many
			first := frame(false, Binary, bytes.Repeat([]byte{'x'}, int(most/2)), mask)
			first[0] |= Compressed
			rest := head(most - most/2 + more)
			rest[0] = 0x80 | byte(Continuation)
			_, code := collect(append(first, rest...), nil, lim)
			if want := []CloseCode{0, CloseTooBig}[more]; code != want {
				t.Errorf("limit %d, %d over it in fragments: code %v, want %v", limit, more, code, want)
			}
		}
	}
}
