package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

// persistent is a peer as most are: one reader for all messages of the connection, whose window the
// library keeps. Only the bytes of a message are there to be read, so that a message which is not
// flushed fails.
type persistent struct {
	in  bytes.Buffer
	fl  io.ReadCloser
	got []byte
}

func newPersistent() *persistent {
	p := &persistent{got: make([]byte, 1<<20)}
	p.fl = flate.NewReader(&p.in)
	return p
}

func (p *persistent) message(deflated []byte, size int) ([]byte, error) {
	p.in.Write(deflated)
	p.in.WriteString(tail)
	_, err := io.ReadFull(p.fl, p.got[:size])
	if err != nil {
		return nil, err
	}
	return p.got[:size], nil
}

// TestPeerWithTakeover: whatever is sent, in whatever order and with which windows, one reader for
// the whole connection gets all of it, and no distance is beyond the window that was agreed on.
func TestPeerWithTakeover(t *testing.T) {
	kinds := events(t)
	speech := tokens(200)
	long := snapshot(t, 80<<10)
	for bits := 8; bits <= 15; bits++ {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(bits, "/", seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, uint64(bits)))
				peer, narrow := newPersistent(), &strict{window: 1 << bits}
				inflater := NewInflater(true)
				var dict, out, back []byte
				for n := range 120 {
					payload := pick(rng, kinds, speech, long)
					if rng.IntN(4) == 0 {
						continue // sent plain: no window and no dictionary knows of it
					}
					out = Append(out[:0], payload, dict, bits)
					dict = payload

					got, err := peer.message(out, len(payload))
					if err != nil || !bytes.Equal(got, payload) {
						t.Fatalf("message %d of %d bytes: the peer has %q, %v", n, len(payload), got, err)
					}
					if got, err = narrow.message(out); err != nil || !bytes.Equal(got, payload) {
						t.Fatalf("message %d of %d bytes: with the agreed window %v", n, len(payload), err)
					}
					if back, err = inflater.Inflate(back[:0], out, len(payload)); err != nil || !bytes.Equal(back, payload) {
						t.Fatalf("message %d of %d bytes: we ourselves have %q, %v", n, len(payload), back, err)
					}
				}
			})
		}
	}
}

// pick makes a payload of some kind.
func pick(rng *rand.Rand, kinds, speech [][]byte, long []byte) []byte {
	switch rng.IntN(8) {
	case 0:
		return nil
	case 1: // does not compress
		b := make([]byte, rng.IntN(3*maxSmall))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	case 2:
		at := rng.IntN(len(long))
		return long[at:][:rng.IntN(min(len(long)-at, 16<<rng.IntN(13)))] // of all sizes alike
	case 3: // about where the ways part
		at := rng.IntN(len(long) - 2*maxSmall)
		return long[at : at+maxSmall-2+rng.IntN(4)]
	case 4:
		return bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(2000))
	case 5:
		return kinds[rng.IntN(len(kinds))]
	}
	return speech[rng.IntN(len(speech))]
}

// TestPeerWithoutTakeover: without a dictionary each message can be read by itself.
func TestPeerWithoutTakeover(t *testing.T) {
	for _, payload := range append(events(t), nil, snapshot(t, 40<<10)) {
		for bits := 8; bits <= 15; bits++ {
			out := Append([]byte("frame "), payload, nil, bits)
			if string(out[:6]) != "frame " {
				t.Fatalf("what was in dst is %q", out[:6])
			}
			got, err := (&strict{window: 1 << bits}).message(out[6:])
			if err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("%d bits, %q: %v", bits, payload, err)
			}
		}
	}
}

func TestAppendEmptyIsOneByte(t *testing.T) { // RFC 7692 §7.2.3.6
	if out := Append(nil, nil, []byte("some dictionary"), 15); !bytes.Equal(out, []byte{0}) {
		t.Errorf("%x", out)
	}
}

// TestAppendUsesNoMoreThanMaxDict: what is further back in the last message makes no difference.
func TestAppendUsesNoMoreThanMaxDict(t *testing.T) {
	long := snapshot(t, MaxDict+500)
	for _, payload := range [][]byte{long[:300], long[:2000]} {
		with, without := Append(nil, payload, long, 15), Append(nil, payload, long[500:], 15)
		if !bytes.Equal(with, without) {
			t.Errorf("%d bytes become %d and %d", len(payload), len(with), len(without))
		}
	}
}

// TestAppendSizes holds what deflating is there for.
func TestAppendSizes(t *testing.T) {
	speech, sum := tokens(1000), 0
	for i, event := range speech[1:] {
		sum += len(Append(nil, event, speech[i], 15))
	}
	if mean := sum / (len(speech) - 1); mean > 18 {
		t.Errorf("an event after another like it takes %d bytes", mean)
	}
	long := snapshot(t, 100<<10)
	if n := len(Append(nil, long, nil, 15)); n > len(long)*45/100 {
		t.Errorf("%d bytes become %d", len(long), n)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	speech, long := tokens(2), snapshot(t, 20<<10)
	dst := make([]byte, 0, 64<<10)
	for _, tc := range []struct {
		name          string
		payload, dict []byte
		bits          int
	}{
		{"event", speech[1], speech[0], 15},
		{"event in a small window", speech[1], speech[0], 9},
		{"snapshot", long, speech[0], 15},
		{"snapshot in a small window", long, speech[0], 10},
	} {
		if n := testing.AllocsPerRun(200, func() { Append(dst, tc.payload, tc.dict, tc.bits) }); n != 0 {
			t.Errorf("%s: %v allocations", tc.name, n)
		}
	}
}

// TestSmallTableWraps: the places in the table are relative to a number that begins anew.
func TestSmallTableWraps(t *testing.T) {
	speech := tokens(400)
	s := &small{base: 1<<31 - 20000}
	narrow := &strict{window: 1 << 15}
	var dict []byte
	for i, payload := range speech {
		got, err := narrow.message(s.append(nil, payload, dict, 1<<15))
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("message %d: %v", i, err)
		}
		dict = payload
	}
	if s.base > 1<<30 {
		t.Errorf("the base is %d: it has not begun anew", s.base)
	}
}

// TestNarrowReceiver: the receiver of these tests does refuse what a window of its size cannot have.
func TestNarrowReceiver(t *testing.T) {
	block := noise(300)
	payload := append(append([]byte(nil), block...), block...)
	p := Append(nil, payload, nil, 15)
	if _, err := (&strict{window: 300}).message(p); err != nil {
		t.Errorf("a window that just reaches: %v", err)
	}
	if _, err := (&strict{window: 299}).message(p); err == nil {
		t.Error("a distance of 300 within a window of 299")
	}
}
