package frame

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// FuzzFrames: how a stream is cut never changes what comes out of it, with compression agreed on and
// without.
func FuzzFrames(f *testing.F) {
	mask := [4]byte{1, 2, 3, 4}
	var s []byte
	s = append(s, frame(true, Text, []byte("hällo"), &mask)...)
	s = append(s, frame(false, Text, []byte("a\xe2"), &mask)...)
	s = append(s, frame(true, Ping, []byte("!"), &mask)...)
	s = append(s, frame(true, Continuation, []byte("\x82\xac"), &mask)...)
	s = append(s, frame(true, Binary, make([]byte, 300), &mask)...)
	s = append(s, frame(true, Close, []byte("\x03\xe8bye"), &mask)...)
	f.Add(s, []byte{0})
	f.Add(s, []byte{3, 0, 7})
	f.Add(frame(true, Text, []byte("\xff"), &mask), []byte{1})
	s = append(compressed(false, Text, []byte("\xff"), &mask), frame(true, Ping, nil, &mask)...)
	s = append(s, frame(true, Continuation, []byte("\xfe"), &mask)...)
	s = append(s, compressed(true, Binary, make([]byte, 1064), &mask)...)
	s = append(s, frame(true, Text, []byte("\xff"), &mask)...)
	f.Add(s, []byte{4, 0})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		pieces := make([]int, len(cuts))
		for i, c := range cuts {
			pieces[i] = int(c)
		}
		for _, deflate := range []bool{false, true} {
			lim := Limits{MaxMessage: 1000, MaxFragments: 5, Server: true, Deflate: deflate}
			whole, code := collect(stream, nil, lim)
			got, gotCode := collect(stream, pieces, lim)
			// Cut differently, a bad stream may fail sooner within its last message, never later, and
			// never differently.
			if gotCode != code {
				t.Fatalf("deflate %t, cut by %v: code %v, whole: %v", deflate, pieces, gotCode, code)
			}
			if !slices.Equal(got, whole) {
				t.Fatalf("deflate %t, cut by %v: %q, whole: %q", deflate, pieces, got, whole)
			}
		}
	})
}

// FuzzMessage: a message written in any fragments comes back as it was, and whether it was compressed.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("hello"), uint32(7), []byte{2, 1}, false)
	f.Add([]byte("🙂🙂"), uint32(0), []byte{1}, true)
	f.Add(make([]byte, 70000), uint32(1<<31), []byte{255, 255}, false)
	f.Fuzz(func(t *testing.T, payload []byte, seed uint32, cuts []byte, text bool) {
		if len(payload) > 1<<20 || len(cuts) > 1000 {
			return
		}
		op := Binary
		if text {
			op, payload = Text, bytes.ToValidUTF8(payload, nil)
		}
		mask := [4]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}
		var s []byte
		rest, next := payload, op
		for _, c := range cuts {
			n := min(int(c), len(rest))
			s = append(s, frame(false, next, rest[:n], &mask)...)
			rest, next = rest[n:], Continuation
		}
		s = append(s, frame(true, next, rest, &mask)...)

		for _, mark := range []string{"", "z"} {
			lim := testLimits
			if mark != "" {
				s[0] |= Compressed
				lim.Deflate = true
			}
			got, code := collect(s, []int{1000, int(seed % 5000)}, lim)
			if want := fmt.Sprintf("%x%s:%s", byte(op), mark, payload); code != 0 || len(got) != 1 || got[0] != want {
				t.Fatalf("compressed %q: code %v, %d messages", mark, code, len(got))
			}
		}
	})
}

func BenchmarkWhole(b *testing.B) {
	f := frame(true, Text, bytes.Repeat([]byte("x"), 128), &[4]byte{})
	b.ReportAllocs()
	for b.Loop() {
		if _, n, err := Whole(f, &testLimits); n != len(f) || err != nil {
			b.Fatal(n, err)
		}
	}
}
