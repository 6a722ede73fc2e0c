package bufpool

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestSizeIsHonoured(t *testing.T) {
	for _, tc := range []struct{ size, kept int }{{0, defaultSize}, {1, 1}, {7, 7}, {8, 8}, {9, 9}, {100, 100}, {-1, 0}} {
		p := New(Config{Size: tc.size})
		const over = 50
		for round := range 3 {
			for i, b := range lendMany(p, tc.kept+over, 1) {
				b.Release()
				if got, want := p.Buffers(), min(i+1, tc.kept); got != want {
					t.Fatalf("size %d, round %d: %d idle after %d returned, want %d", tc.size, round, got, i+1, want)
				}
			}
		}
		s := p.Stats()
		if want := uint64(tc.kept + 3*over); s.Misses != want || s.Discards != want-uint64(tc.kept) {
			t.Errorf("size %d: %d made and %d discarded, want %d and %d", tc.size, s.Misses, s.Discards, want, want-uint64(tc.kept))
		}
	}
}

// TestSizeIsOverAllClasses: a slot is not bound to the class it was first used for.
func TestSizeIsOverAllClasses(t *testing.T) {
	p := New(Config{Size: 3})
	small := lendMany(p, 3, 256)
	releaseAll(small)
	small = lendMany(p, 3, 256) // all slots belong to buffers that are out
	p.Get(4096).Release()
	p.Get(1024).Release()
	wantStats(t, p, Stats{Gets: 8, Misses: 5, InUse: 3 * 256, Idle: 4096 + 1024, Buffers: 2})
	releaseAll(small)
	// Those that come back now take the places of what came back before.
	wantStats(t, p, Stats{Gets: 8, Misses: 5, Discards: 2, Idle: 3 * 256, Buffers: 3})
}

// TestLongLendingLeavesRoom: buffers that stay out do not keep others from being kept.
func TestLongLendingLeavesRoom(t *testing.T) {
	p := New(Config{Size: 4})
	releaseAll(lendMany(p, 4, 1))
	long := lendMany(p, 4, 1)
	for range 100 {
		p.Get(1).Release()
	}
	if s := p.Stats(); s.Misses != 5 {
		t.Errorf("%d buffers made, want the 4 lent for long and one", s.Misses)
	}
	releaseAll(long)
	wantStats(t, p, Stats{Gets: 108, Misses: 5, Discards: 1, Idle: 4 * 256, Buffers: 4})
}

func TestSetSizeWhileRunning(t *testing.T) {
	p := New(Config{Size: 100})
	releaseAll(lendMany(p, 100, 1))
	out := lendMany(p, 60, 1)

	p.SetSize(50) // 40 are idle: all may stay
	if got := p.Buffers(); got != 40 {
		t.Errorf("%d idle, want 40: there was room for all", got)
	}
	p.SetSize(30)
	if got := p.Buffers(); got != 30 || p.Size() != 30 {
		t.Errorf("%d idle of size %d, want 30", got, p.Size())
	}
	releaseAll(out)
	wantStats(t, p, Stats{Gets: 160, Misses: 100, Discards: 70, Idle: 30 * 256, Buffers: 30})

	out = lendMany(p, 30, 1)
	p.SetSize(-1)
	releaseAll(out)
	p.Get(1).Release()
	wantStats(t, p, Stats{Gets: 191, Misses: 101, Discards: 101})

	p.SetSize(0)
	releaseAll(lendMany(p, 2000, 1))
	if got := p.Buffers(); got != defaultSize {
		t.Errorf("%d idle, want the default of %d", got, defaultSize)
	}
}

func TestSetMaxBufferWhileRunning(t *testing.T) {
	p := New(Config{})
	releaseAll([]*Buffer{p.Get(1 << 10), p.Get(32 << 10), p.Get(64 << 10)})
	out, fresh := p.Get(64<<10), p.Get(64<<10)

	p.SetMaxBuffer(16 << 10)
	if got := p.Idle(); got != 1<<10 {
		t.Errorf("%d bytes idle, want only the small buffer's", got)
	}
	out.Release()
	fresh.Release()
	exact := p.Get(20_000)
	if got := cap(exact.B); got != 20_000 {
		t.Errorf("capacity %d of a buffer made to measure", got)
	}
	wantStats(t, p, Stats{Gets: 6, Misses: 5, Discards: 3, InUse: 20_000, Idle: 1 << 10, Buffers: 1})

	p.SetMaxBuffer(1 << 20)
	exact.Release()
	p.Get(1 << 20).Release()
	wantStats(t, p, Stats{Gets: 7, Misses: 6, Discards: 4, Idle: 1<<10 + 1<<20, Buffers: 2})
	if p.Trim(); p.Size() != defaultSize || p.slotsLeft.Load() != defaultSize {
		t.Errorf("%d slots left of %d", p.slotsLeft.Load(), p.Size())
	}
}

func TestTrim(t *testing.T) {
	p := New(Config{})
	if got := p.Trim(); got != 0 {
		t.Errorf("an empty pool gave %d bytes", got)
	}
	const rounds = 50
	for range rounds {
		releaseAll(append(lendMany(p, 20, 256), lendMany(p, 20, 4096)...))
		out := lendMany(p, 5, 256)
		if got, want := p.Trim(), int64(15*256+20*4096); got != want {
			t.Errorf("trimmed %d bytes, want %d", got, want)
		}
		if p.Idle() != 0 || p.InUse() != 5*256 {
			t.Errorf("idle %d, in use %d after a trim", p.Idle(), p.InUse())
		}
		releaseAll(out)
		p.Trim()
	}
	// A stack may move between rounds, and with it the shard, but never more groups are needed than
	// there are buffers.
	if n := len(p.groups); n > 2*20 {
		t.Errorf("%d groups for 20 and 20 buffers: trimming does not give slots back", n)
	}
}

// TestExactUnderConcurrency lends, shares and hands over buffers on many goroutines while others
// tune and read, and checks that no buffer is lent twice and nothing is miscounted.
func TestExactUnderConcurrency(t *testing.T) {
	const workers, rounds, size = 8, 3000, 40
	p := New(Config{Size: size})
	var gets atomic.Uint64
	handed := make(chan *Buffer, 16)
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			var held []*Buffer
			for range rounds {
				b := p.Get(rng.IntN(40_000))
				gets.Add(1)
				b.B = binary.LittleEndian.AppendUint64(b.B, rng.Uint64())
				mark := binary.LittleEndian.Uint64(b.B)
				b.Retain().Release()
				if binary.LittleEndian.Uint64(b.B) != mark {
					t.Error("a buffer has two borrowers")
				}
				switch rng.IntN(3) {
				case 0:
					b.Release()
				case 1:
					if held = append(held, b); len(held) == 12 {
						releaseAll(held)
						held = held[:0]
					}
				case 2:
					select {
					case handed <- b:
					case other := <-handed:
						other.Release()
						b.Release()
					}
				}
			}
			releaseAll(held)
		})
	}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			switch i % 8 {
			case 1:
				p.Trim()
			case 3:
				p.SetSize(5)
				if n := p.Buffers(); n > 5 {
					t.Errorf("%d idle of 5", n)
				}
				p.SetSize(size)
			case 5:
				p.SetMaxBuffer(1 << 10)
				if s := p.Stats(); s.Idle > int64(s.Buffers)<<10 {
					t.Errorf("too large a buffer is idle: %+v", s)
				}
				p.SetMaxBuffer(0)
			}
			if s := p.Stats(); s.InUse < 0 || s.Idle < 0 || s.Buffers > size {
				t.Errorf("while moving: %+v", s)
			}
		}
	})
	work.Wait()
	close(done)
	watch.Wait()
	close(handed)
	for b := range handed {
		b.Release()
	}
	s := p.Stats()
	if s.InUse != 0 || s.Gets != gets.Load() || s.Misses-s.Discards != uint64(s.Buffers) {
		t.Errorf("at rest: %+v, %d gets", s, gets.Load())
	}
	if got := p.Trim(); got != s.Idle || p.Idle() != 0 || p.slotsLeft.Load() != size {
		t.Errorf("trimmed %d of %d idle bytes, %d of %d slots free", got, s.Idle, p.slotsLeft.Load(), size)
	}
}

// TestIdleClassesGiveWay: a pool that is full of buffers nobody asks for any more keeps those of a
// class that is asked for now.
func TestIdleClassesGiveWay(t *testing.T) {
	p := New(Config{Size: 50})
	var out []*Buffer
	for range 50 {
		out = append(out, p.Get(4096))
	}
	for _, b := range out {
		b.Release()
	}
	for range 10 {
		p.Get(256).Release()
	}
	if p.Buffers() != 50 {
		t.Errorf("%d buffers idle, want 50", p.Buffers())
	}
	before := p.Stats().Misses
	for range 100 {
		p.Get(256).Release()
	}
	if n := p.Stats().Misses - before; n != 0 {
		t.Errorf("%d of 100 buffers of the class in use had to be made", n)
	}
}
