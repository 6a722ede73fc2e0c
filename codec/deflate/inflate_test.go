package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

// deflated is plain as one message of another library, followed by what end writes.
func deflated(t testing.TB, plain []byte, end func(w *flate.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err = end(w); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte(tail))
}

// TestInflateExamples has the messages that RFC 7692 §7.2.3 shows.
func TestInflateExamples(t *testing.T) {
	const (
		two     = "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
		hello   = "\xf2\x48\xcd\xc9\xc9\x07\x00"
		again   = "\xf2\x00\x11\x00\x00"
		stored  = "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
		isLast  = "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
		noTrail = "\xf3\x48\xcd\xc9\xc9\x07\x00"
	)
	for _, tc := range []struct {
		name     string
		messages []string
		want     string // of all together
	}{
		{"one block, §7.2.3.1", []string{hello}, "Hello"},
		{"taken over, §7.2.3.2", []string{hello, again}, "HelloHello"},
		{"not compressed, §7.2.3.3", []string{stored}, "Hello"},
		{"a last block, §7.2.3.4", []string{isLast}, "Hello"},
		{"two blocks, §7.2.3.5", []string{two}, "Hello"},
		{"empty, §7.2.3.6", []string{"\x00"}, ""},

		{"the window outlives a last block", []string{isLast, again}, "HelloHello"},
		{"a last block with nothing behind it", []string{noTrail, again}, "HelloHello"},
		{"a last stored block whose end is left out", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x01"}, "Hello"},
		{"blocks behind a last one", []string{noTrail + noTrail + hello}, "HelloHelloHello"},
		{"a block that points before a last one", []string{noTrail + again}, "HelloHello"},
		{"an empty one between", []string{hello, "\x00", again}, "HelloHello"},
	} {
		f := NewInflater(true)
		var got []byte
		for _, message := range tc.messages {
			var err error
			if got, err = f.Inflate(got, []byte(message), 100); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if string(got) != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestInflateRefuses(t *testing.T) {
	whole := Append(nil, snapshot(t, 3000), nil, 15)
	for _, tc := range []struct {
		name, p string
		limit   int
		want    error
	}{
		{"no byte at all", "", 100, ErrEmpty},
		{"a reserved kind of block", "\x06", 100, ErrCorrupt},
		{"text", "hello, hello, hello", 100, ErrCorrupt},
		{"a distance before the beginning", "\xf2\x00\x11\x00\x00", 100, ErrCorrupt},
		{"a stored block with a wrong length", "\x00\x05\x00\xfa\x00Hello\x00", 100, ErrCorrupt},
		{"a stored block that is cut", "\x00\x05\x00\xfa\xffHel", 100, ErrCorrupt},
		{"a message that is cut", string(whole[:len(whole)/2]), 1 << 20, ErrCorrupt},
		{"a message with its tail", string(whole) + tail, 1 << 20, ErrCorrupt},
		{"garbage behind a last block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x06", 100, ErrCorrupt},
		{"a last block that ends in the tail", "\x03", 100, ErrCorrupt},
		{"only last blocks", strings.Repeat("\x03\x00", 1<<16), 100, ErrCorrupt},
		{"one byte too many", "\xf2\x48\xcd\xc9\xc9\x07\x00", 4, ErrTooBig},
		{"anything where nothing may be", "\xf2\x48\xcd\xc9\xc9\x07\x00", 0, ErrTooBig},
	} {
		for _, takeover := range []bool{false, true} {
			dst := []byte("before")
			got, err := NewInflater(takeover).Inflate(dst, []byte(tc.p), tc.limit)
			if err != tc.want || string(got) != "before" {
				t.Errorf("%s: %q, %v", tc.name, got, err)
			}
		}
	}
}

// TestInflateEveryCut: a message that lacks its end is never taken for a whole one. What lacks only
// zero bits of padding is whole.
func TestInflateEveryCut(t *testing.T) {
	for _, plain := range [][]byte{[]byte("Hello"), tokens(1)[0], snapshot(t, 400), snapshot(t, 2000), bytes.Repeat([]byte("abc"), 5000)} {
		p := Append(nil, plain, nil, 15)
		for n := 1; n < len(p); n++ {
			if got, err := NewInflater(false).Inflate(nil, p[:n], 1<<20); err != ErrCorrupt {
				t.Errorf("%d of %d bytes give %d of %d, %v", n, len(p), len(got), len(plain), err)
			}
		}
	}
}

// TestInflateLimit: the limit is exact on both sides of every step by which memory grows.
func TestInflateLimit(t *testing.T) {
	text := snapshot(t, 150<<10)
	for _, size := range []int{1, 511, 512, 513, maxWindow, maxWindow + 1, freeRatio - 1, freeRatio, freeRatio + 1, 150 << 10} {
		p := deflated(t, text[:size], (*flate.Writer).Flush)
		for _, room := range []int{0, 10, size - 1, size, 100 << 10} {
			dst := make([]byte, 3, 3+room)
			got, err := NewInflater(false).Inflate(dst, p, size)
			if err != nil || !bytes.Equal(got[3:], text[:size]) {
				t.Fatalf("%d bytes into %d: %d, %v", size, room, len(got), err)
			}
			if _, err = NewInflater(false).Inflate(dst, p, size-1); err != ErrTooBig {
				t.Fatalf("%d bytes with a limit below: %v", size, err)
			}
			if _, err = NewInflater(false).Inflate(dst, p, math.MaxInt); err != nil {
				t.Fatalf("%d bytes without a limit: %v", size, err)
			}
		}
	}
}

// TestInflateTakesWhatItNeeds: above 64 KiB a message gets memory once, and no more than it has.
func TestInflateTakesWhatItNeeds(t *testing.T) {
	text := snapshot(t, 200<<10)
	got, err := NewInflater(false).Inflate(nil, Append(nil, text, nil, 15), 10<<20)
	if err != nil || len(got) != len(text) || cap(got) > len(text)+8<<10 {
		t.Errorf("%d bytes in %d, %v", len(got), cap(got), err)
	}
}

// TestInflateManyStreams: what is said to be the last block of a large message, and is not, costs no
// byte of it; what follows may point back over the ends.
func TestInflateManyStreams(t *testing.T) {
	text := snapshot(t, 150<<10)
	for _, part := range []int{3 << 10, 20 << 10, 50 << 10} {
		var p []byte
		for at := 0; at < len(text); at += part {
			var b bytes.Buffer
			w, err := flate.NewWriterDict(&b, flate.BestCompression, text[max(0, at-maxWindow):at])
			if err != nil {
				t.Fatal(err)
			}
			if _, err = w.Write(text[at:min(len(text), at+part)]); err != nil {
				t.Fatal(err)
			}
			if err = w.Close(); err != nil {
				t.Fatal(err)
			}
			p = append(p, b.Bytes()...)
		}
		for _, end := range []string{"", "\x00"} {
			got, err := NewInflater(false).Inflate(nil, append(p, end...), len(text))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("parts of %d bytes, then %q: %d of %d bytes, %v", part, end, len(got), len(text), err)
			}
			if _, err = NewInflater(false).Inflate(nil, append(p, end...), len(text)-1); err != ErrTooBig {
				t.Errorf("parts of %d bytes, then %q, with a limit below: %v", part, end, err)
			}
		}
	}
}

// bomb inflates to 1,030 times its size, as far as DEFLATE goes.
func bomb(t testing.TB, size int) []byte {
	p := deflated(t, make([]byte, 1030*size), (*flate.Writer).Flush)
	if len(p) > size+size/50 {
		t.Fatalf("a bomb of %d bytes has %d", size, len(p))
	}
	return p
}

// TestBombs: 64 of 10 KiB at once, which would become 10 MiB each, are refused at the limit of 1 MiB.
// None gets more than 64 KiB of memory on the way.
func TestBombs(t *testing.T) {
	p := bomb(t, 10<<10)
	const each = 64
	inflate := func() {
		var wg sync.WaitGroup
		for i := range each {
			wg.Go(func() {
				if got, err := NewInflater(i%2 == 0).Inflate(nil, p, 1<<20); err != ErrTooBig || got != nil {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
	}
	inflate() // borrows decoders
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	inflate()
	runtime.ReadMemStats(&after)
	// Each has a buffer that grows to 64 KiB, and two decoders if the pool was emptied meanwhile.
	const most = each * (2*maxUnmeasured + 2*64<<10)
	if took := after.TotalAlloc - before.TotalAlloc; took > most && !testkit.Race {
		t.Errorf("%d bytes for %d bombs, want at most %d", took, each, most)
	}
}

// TestInflateRatio: above 64 KiB a message may become a thousand times as large and no more, whatever
// the limit is.
func TestInflateRatio(t *testing.T) {
	p := bomb(t, 1000)
	if _, err := NewInflater(false).Inflate(nil, p, math.MaxInt); err != ErrRatio {
		t.Errorf("a bomb: %v", err)
	}
	if _, err := NewInflater(false).Inflate(nil, p, 100<<10); err != ErrTooBig {
		t.Errorf("a bomb beyond the limit: %v", err)
	}
	small := deflated(t, make([]byte, freeRatio), (*flate.Writer).Flush)
	if got, err := NewInflater(false).Inflate(nil, small, math.MaxInt); err != nil || len(got) != freeRatio {
		t.Errorf("64 KiB of zeros in %d bytes: %d, %v", len(small), len(got), err)
	}
	honest := deflated(t, bytes.Repeat(tokens(1)[0], 4000), (*flate.Writer).Flush)
	if _, err := NewInflater(false).Inflate(nil, honest, math.MaxInt); err != nil {
		t.Errorf("one event four thousand times, in %d bytes: %v", len(honest), err)
	}
}

// TestInflateKeepsTheWindow: a peer that keeps one writer for the connection may point back 32 KiB over
// any number of messages; the Inflater holds that much and no more.
func TestInflateKeepsTheWindow(t *testing.T) {
	var wire bytes.Buffer
	w, err := flate.NewWriter(&wire, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	f := NewInflater(true)
	if f.Memory() != 0 {
		t.Errorf("%d bytes before the first message", f.Memory())
	}
	text := snapshot(t, 120<<10)
	var got []byte
	total := 0
	for n, size := range []int{1, 100, 0, 5000, 20000, 7000, 700, 31000, 40000, 3, 12000} {
		message := text[3*n : 3*n+size]
		if _, err = w.Write(message); err != nil {
			t.Fatal(err)
		}
		if err = w.Flush(); err != nil {
			t.Fatal(err)
		}
		got, err = f.Inflate(got[:0], bytes.TrimSuffix(wire.Bytes(), []byte(tail)), 1<<20)
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("message %d: %d bytes, %v", n, len(got), err)
		}
		wire.Reset()
		total += size
		if most := min(maxWindow, 2*total); f.Memory() > most {
			t.Fatalf("%d bytes are held after %d", f.Memory(), total)
		}
	}
	if len(f.window) != maxWindow {
		t.Errorf("the window has %d bytes", len(f.window))
	}
}

// TestInflateWithoutTakeoverHoldsNothing: there is one Inflater for all of them.
func TestInflateWithoutTakeoverHoldsNothing(t *testing.T) {
	f := NewInflater(false)
	if _, err := f.Inflate(nil, Append(nil, []byte("Hello"), nil, 15), 10); err != nil {
		t.Fatal(err)
	}
	if f != NewInflater(false) || f.Memory() != 0 {
		t.Errorf("%d bytes", f.Memory())
	}
	if _, err := f.Inflate(nil, []byte("\xf2\x00\x11\x00\x00"), 10); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the second message has the first one's window: %v", err)
	}
}

func TestInflateAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	for _, plain := range [][]byte{tokens(1)[0], snapshot(t, 100<<10)} {
		p := Append(nil, plain, nil, 15)
		dst := make([]byte, 0, len(plain))
		for _, f := range []*Inflater{NewInflater(false), NewInflater(true)} {
			inflate := func() {
				if _, err := f.Inflate(dst, p, len(plain)); err != nil {
					t.Fatal(err)
				}
			}
			for range 300 { // until its window is full
				inflate()
			}
			if n := testing.AllocsPerRun(200, inflate); n != 0 {
				t.Errorf("%d bytes, %d in the window: %v allocations", len(plain), f.Memory(), n)
			}
		}
	}
}
