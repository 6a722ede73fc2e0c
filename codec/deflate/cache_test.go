package deflate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

// viewer is one connection of many that are sent the same events.
type viewer struct {
	bits int
	prev *Sent
	peer *persistent
}

// send sends payload as a connection does, and returns what was on the wire.
func (v *viewer) send(t testing.TB, c *Cache, payload []byte) []byte {
	t.Helper()
	deflated, next := c.Next(v.prev, payload, v.bits)
	before := v.prev
	v.prev = next
	if deflated == nil {
		if !bytes.Equal(next.dict(), before.dict()) {
			t.Fatalf("%q is sent plain and becomes a predecessor", payload)
		}
		return nil
	}
	if len(deflated) > len(payload)+stored {
		t.Fatalf("%d bytes become %d", len(payload), len(deflated))
	}
	got, err := v.peer.message(deflated, len(payload))
	if err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("%q is received as %q, %v", payload, got, err)
	}
	return deflated
}

// TestCacheViewers: viewers with several windows see the same events, miss some, and get some of their
// own; each of them reads all it is sent.
func TestCacheViewers(t *testing.T) {
	var c Cache
	kinds, speech, long := events(t), tokens(100), snapshot(t, 40<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	viewers := make([]*viewer, 12)
	for i := range viewers {
		viewers[i] = &viewer{bits: 8 + i%8, peer: newPersistent()}
	}
	for range 300 {
		payload := pick(rng, kinds, speech, long)
		for _, v := range viewers {
			switch rng.IntN(10) {
			case 0:
			case 1:
				v.send(t, &c, pick(rng, kinds, speech, long))
			default:
				v.send(t, &c, payload)
			}
		}
		if rng.IntN(50) == 0 {
			c.Reset()
		}
	}
}

// TestCacheDeflatesOnce: receivers with the same predecessor get the same bytes in the same memory.
func TestCacheDeflatesOnce(t *testing.T) {
	var c Cache
	speech := append(tokens(20), snapshot(t, 3000), snapshot(t, 100<<10))
	viewers := make([]*viewer, 5)
	for i := range viewers {
		viewers[i] = &viewer{bits: 15, peer: newPersistent()}
	}
	for n, event := range speech {
		first := viewers[0].send(t, &c, event)
		for _, v := range viewers[1:] {
			// A copy, so that it is found by its bytes.
			if got := v.send(t, &c, bytes.Clone(event)); len(got) != len(first) || len(got) > 0 && &got[0] != &first[0] {
				t.Fatalf("event %d is deflated again", n)
			}
			if v.prev != viewers[0].prev {
				t.Fatalf("event %d is another predecessor to another viewer", n)
			}
		}
	}
}

// TestCacheLateViewer: who comes later has no predecessor, and the same one as all others after the
// first message. With a window that reaches as far there is no difference either.
func TestCacheLateViewer(t *testing.T) {
	var c Cache
	speech := tokens(4)
	early := &viewer{bits: 15, peer: newPersistent()}
	late := &viewer{bits: 9, peer: newPersistent()}
	early.send(t, &c, speech[0])
	one, other := early.send(t, &c, speech[1]), late.send(t, &c, speech[1])
	if bytes.Equal(one, other) || early.prev != late.prev {
		t.Fatalf("%d and %d bytes; one predecessor: %v", len(one), len(other), early.prev == late.prev)
	}
	one, other = early.send(t, &c, speech[2]), late.send(t, &c, speech[2])
	if &one[0] != &other[0] {
		t.Error("they do not share what follows")
	}
}

// noise does not compress.
func noise(size int) []byte {
	b, rng := make([]byte, size), rand.New(rand.NewPCG(3, 4))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestCacheFirstEvents: the first event has nothing to resemble and is deflated nevertheless, so that
// the second has. So it is with what follows events of another kind.
func TestCacheFirstEvents(t *testing.T) {
	var c Cache
	v := &viewer{bits: 15, peer: newPersistent()}
	ends := func(n int) (sizes []int) {
		for i := range n {
			// Their letters cost more than they have, so that a stream of them is what sticks most easily.
			event := fmt.Appendf(nil, "сообщение и событие № 12345 текст %d", i)
			deflated := v.send(t, &c, event)
			sizes = append(sizes, len(deflated))
			if len(deflated) > len(event)+stored {
				t.Errorf("%d bytes become %d", len(event), len(deflated))
			}
		}
		return sizes
	}
	if got := ends(4); got[0] == 0 || got[1] > 12 || got[2] > 12 || got[3] > 12 {
		t.Errorf("from the beginning: %d", got)
	}
	other := noise(200)
	if _, err := v.peer.message(Append(nil, other, nil, 15), len(other)); err != nil {
		t.Fatal(err)
	}
	v.prev = &Sent{plain: other}
	if got := ends(4); got[0] != 0 || got[1] == 0 || got[2] > 12 || got[3] > 12 {
		t.Errorf("after something else: %d", got)
	}
}

// TestCachePlain: what is not smaller is sent plain, each time, and the message before it stays the
// predecessor: an event is as small behind it as it was.
func TestCachePlain(t *testing.T) {
	var c Cache
	speech := tokens(20)
	v := &viewer{bits: 15, peer: newPersistent()}
	v.send(t, &c, speech[0])
	for i, size := range []int{0, 100, 500, maxSmall + 1, 5000, maxShared, 2 * maxShared} {
		if deflated := v.send(t, &c, noise(size)); deflated != nil {
			t.Errorf("%d bytes of noise become %d", size, len(deflated))
		}
		if deflated := v.send(t, &c, speech[i+1]); deflated == nil || len(deflated) > 20 {
			t.Errorf("behind %d bytes of noise an event takes %d", size, len(deflated))
		}
	}
	// More than one of them: the predecessor is the same as after one.
	v.send(t, &c, noise(5000))
	once := v.prev
	if v.send(t, &c, noise(5001)); v.prev != once {
		t.Error("the second miss makes another predecessor")
	}
	// And the same to another viewer at that place.
	w := &viewer{bits: 15, peer: newPersistent()}
	w.send(t, &c, speech[7])
	if w.send(t, &c, noise(5000)); w.prev != once {
		t.Error("another viewer has another predecessor")
	}
}

// TestCacheWithoutTakeover: with no predecessor the receiver needs none.
func TestCacheWithoutTakeover(t *testing.T) {
	var c Cache
	for _, payload := range append(events(t), tokens(5)...) {
		deflated, _ := c.Next(nil, payload, 15)
		if deflated == nil {
			continue
		}
		got, err := newPersistent().message(deflated, len(payload))
		if err != nil || !bytes.Equal(got, payload) || len(deflated) > len(payload)+stored {
			t.Errorf("%q: %q, %v", payload, got, err)
		}
	}
}

// TestCacheLargeIsNotKept: what is larger than a quarter of the cache goes past it.
func TestCacheLargeIsNotKept(t *testing.T) {
	var c Cache
	v := &viewer{bits: 15, peer: newPersistent()}
	if m := v.prev.Memory(); m != 0 {
		t.Errorf("a connection that was sent nothing holds %d bytes", m)
	}
	text := snapshot(t, maxShared+1)
	if v.send(t, &c, text) == nil || c.Memory() != 0 {
		t.Errorf("%d bytes are held", c.Memory())
	}
	if string(v.prev.dict()) != string(text[len(text)-MaxDict:]) {
		t.Error("its end is not the predecessor of the next")
	}
	if m := v.prev.Memory(); m < MaxDict || m > MaxDict+100 {
		t.Errorf("a connection holds %d bytes of it", m)
	}
}

// TestCacheBounds: it holds the latest messages, so many and so many bytes of them, and nothing after
// Reset. What it has returned stays as it was.
func TestCacheBounds(t *testing.T) {
	var c Cache
	if c.Memory() != 0 {
		t.Errorf("%d bytes before the first message", c.Memory())
	}
	long := snapshot(t, 130<<10)
	v := &viewer{bits: 15, peer: newPersistent()}
	var kept [][2][]byte
	fewer, count := false, 0 // large ones take the place of several
	for n := range 600 {
		payload := fmt.Appendf(nil, "%d %s", n, long[n:n+100+n%7*300])
		if n%40 == 0 && n < 400 {
			payload = long[n:][:120<<10]
		}
		if deflated := v.send(t, &c, payload); n%100 == 1 {
			kept = append(kept, [2][]byte{deflated, bytes.Clone(deflated)})
		}
		if c.Memory() > maxCached+maxEntries*entrySize || c.count > maxEntries {
			t.Fatalf("%d bytes in %d entries", c.Memory(), c.count)
		}
		fewer, count = fewer || c.count < count, c.count
		found := 0
		for _, head := range c.heads {
			for ; head != 0; head = c.entries[head-1].older {
				found++
			}
		}
		if found != c.count {
			t.Fatalf("%d of %d entries can be found", found, c.count)
		}
	}
	if c.count != maxEntries || !fewer {
		t.Errorf("%d entries at the end; bytes were bounded: %v", c.count, fewer)
	}
	c.Reset()
	if c.Memory() != 0 {
		t.Errorf("%d bytes after the last message", c.Memory())
	}
	for _, pair := range kept {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Error("what was returned has changed")
		}
	}
	v.send(t, &c, tokens(1)[0])
}

// TestCacheCrowd: goroutines share a cache; they come at the same event at once.
func TestCacheCrowd(t *testing.T) {
	var c Cache
	speech := append(tokens(300), snapshot(t, 9000))
	const crowd = 8
	ends := make([]*Sent, crowd)
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			v := &viewer{bits: 15, peer: newPersistent()}
			for n, event := range speech {
				v.send(t, &c, event)
				if i == 0 && n == 150 {
					c.Reset()
				}
			}
			ends[i] = v.prev
		})
	}
	wg.Wait()
	if d := ends[0].dict(); !bytes.HasSuffix(speech[len(speech)-1], d) || len(d) != MaxDict {
		t.Errorf("the last predecessor has %d bytes", len(d))
	}
}

// TestCacheAllocations: one allocation for an event that was not seen, none for its further receivers,
// and one for a receiver with another predecessor.
func TestCacheAllocations(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	var c Cache
	speech := tokens(4000)
	var prev *Sent
	for _, event := range speech[:maxEntries] {
		_, prev = c.Next(prev, event, 15)
	}
	n := maxEntries
	next := func() (deflated []byte, sent *Sent) {
		n++
		return c.Next(prev, speech[n], 15)
	}
	if got := testing.AllocsPerRun(1000, func() { _, prev = next() }); got != 1 {
		t.Errorf("an event that is new: %v allocations", got)
	}
	before := prev
	_, prev = next()
	if got := testing.AllocsPerRun(1000, func() { c.Next(before, speech[n], 15) }); got != 0 {
		t.Errorf("a further receiver: %v allocations", got)
	}
	others := make([]*Sent, 1100)
	for i := range others {
		others[i] = &Sent{plain: before.plain}
	}
	i := 0
	if got := testing.AllocsPerRun(1000, func() { c.Next(others[i], speech[n], 15); i++ }); got != 1 {
		t.Errorf("another predecessor: %v allocations", got)
	}

	// A connection at rest keeps the last event alive, and not much beside it.
	var stats, after runtime.MemStats
	runtime.ReadMemStats(&stats)
	for range 1000 {
		_, prev = next()
	}
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - stats.TotalAlloc) / 1000
	if size := len(speech[n]); each > uint64(2*size+64) || prev.Memory() < size || prev.Memory() > int(each) {
		t.Errorf("an event of %d bytes costs %d, of which it says %d", size, each, prev.Memory())
	}
}
