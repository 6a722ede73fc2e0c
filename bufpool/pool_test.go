package bufpool

import (
	"runtime"
	"sync"
	"testing"
	"unsafe"
	"weak"
)

// lendMany gets n buffers of the given size.
func lendMany(p *Pool, n, size int) []*Buffer {
	bufs := make([]*Buffer, n)
	for i := range bufs {
		bufs[i] = p.Get(size)
	}
	return bufs
}

func releaseAll(bufs []*Buffer) {
	for _, b := range bufs {
		b.Release()
	}
}

// wantStats compares what p has done, and holds the sums that are always true at rest.
func wantStats(t *testing.T, p *Pool, want Stats) {
	t.Helper()
	got := p.Stats()
	if got != want {
		t.Errorf("stats\n got %+v\nwant %+v", got, want)
	}
	if p.InUse() != got.InUse || p.Idle() != got.Idle || p.Buffers() != got.Buffers {
		t.Errorf("in use %d, idle %d, buffers %d; stats say %+v", p.InUse(), p.Idle(), p.Buffers(), got)
	}
}

func TestGroupFillsTwoLines(t *testing.T) {
	if n := unsafe.Sizeof(group{}); unsafe.Sizeof(n) == 8 && n != 2*cacheLine {
		t.Errorf("a group is %d bytes, so neighbours share a cache line", n)
	}
}

func TestMaxBufferRoundsDown(t *testing.T) {
	for _, tc := range []struct{ max, kept int }{
		{0, 64 << 10},
		{-1, 0},
		{255, 0},
		{256, 256},
		{1000, 512},
		{1024, 1024},
		{1 << 20, 1 << 20},
		{1 << 30, 16 << 20},
	} {
		p := New(Config{MaxBuffer: tc.max})
		if got := p.MaxBuffer(); got != tc.kept {
			t.Errorf("MaxBuffer %d: %d, want %d", tc.max, got, tc.kept)
		}
		if tc.kept > 0 {
			p.Get(tc.kept).Release()
		}
		p.Get(tc.kept + 1).Release()
		if got := p.Idle(); got != int64(tc.kept) {
			t.Errorf("MaxBuffer %d: %d bytes idle, want only the buffer of %d", tc.max, got, tc.kept)
		}
	}
}

func TestCounts(t *testing.T) {
	p := New(Config{Size: 2})
	wantStats(t, p, Stats{})
	a, b, c := p.Get(300), p.Get(300), p.Get(300)
	big := p.Get(100_000)
	wantStats(t, p, Stats{Gets: 4, Misses: 4, InUse: 3*512 + 100_000})
	a.Release()
	big.Release()
	wantStats(t, p, Stats{Gets: 4, Misses: 4, Discards: 1, InUse: 2 * 512, Idle: 512, Buffers: 1})
	b.Release()
	c.Release()
	wantStats(t, p, Stats{Gets: 4, Misses: 4, Discards: 2, Idle: 2 * 512, Buffers: 2})
	p.Get(512).Release()
	wantStats(t, p, Stats{Gets: 5, Misses: 4, Discards: 2, Idle: 2 * 512, Buffers: 2})
}

func TestPoolsAreApart(t *testing.T) {
	p, before := New(Config{}), InUse()
	b := p.Get(100)
	b = b.Append(make([]byte, 1000))
	if got := p.InUse(); got != 1024 {
		t.Errorf("%d bytes in use, want the grown buffer's 1024", got)
	}
	b.Release()
	if p.InUse() != 0 || p.Idle() != 256+1024 || InUse() != before {
		t.Errorf("in use %d, idle %d, default pool moved by %d", p.InUse(), p.Idle(), InUse()-before)
	}
}

// TestFoundByEveryGoroutine: whoever gets next finds what somebody else returned.
func TestFoundByEveryGoroutine(t *testing.T) {
	p := New(Config{})
	const n, rounds = 20, 50
	for range rounds {
		var wg sync.WaitGroup
		bufs := make([]*Buffer, n)
		for i := range bufs {
			wg.Add(1)
			go func() {
				bufs[i] = p.Get(1000)
				wg.Done()
			}()
			wg.Wait() // one after the other, each on a stack of its own
		}
		releaseAll(bufs)
	}
	wantStats(t, p, Stats{Gets: n * rounds, Misses: n, Idle: n << 10, Buffers: n})
}

func TestForgottenBufferIsCollected(t *testing.T) {
	p := New(Config{})
	p.Get(1).Release()
	w := weak.Make(p.Get(1)) // has a slot, and never comes back
	runtime.GC()
	if w.Value() != nil {
		t.Error("the pool keeps a buffer that is out")
	}
	runtime.KeepAlive(p)
}

func TestSecondReleasePanics(t *testing.T) {
	p := New(Config{})
	for range 3 { // without a slot, with one, and after the panic before
		b := p.Get(10)
		b.Release()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a second release did not panic")
				}
			}()
			b.Release()
		}()
	}
	wantStats(t, p, Stats{Gets: 3, Misses: 1, Idle: 256, Buffers: 1})
}

// TestMeetingShardsPart: who meets another shard at its group gets a buffer, and so a group, of its
// own while slots are left, and shares otherwise.
func TestMeetingShardsPart(t *testing.T) {
	p := New(Config{Size: 2})
	p.Get(1).Release()
	g := p.groups[0]
	other := g.shard.Load() ^ 1
	at := p.cell(0, other)

	b := p.getContended(at, g, other)
	b.Release()
	if s := p.Stats(); s.Misses != 2 || s.Buffers != 2 || at.hint.Load() == g {
		t.Errorf("the shards share a group though a slot was left: %+v", s)
	}
	for range 3 {
		p.getContended(at, g, other).Release() // every slot is open
	}
	if s := p.Stats(); s.Misses != 2 {
		t.Errorf("%d buffers made, want none beyond Size", s.Misses)
	}
}

// TestMeetingGoroutinesAreDealtAnew: ever more rarely, so that the effort stays small.
func TestMeetingGoroutinesAreDealtAnew(t *testing.T) {
	p := New(Config{})
	p.Get(1).Release()
	g := p.groups[0]
	s := g.shard.Load()
	deals, salt := 0, p.hashSeed.Load()
	for range 1 << 12 {
		p.getContended(p.cell(0, s), g, s).Release()
		if now := p.hashSeed.Load(); now != salt {
			deals, salt = deals+1, now
			if now&1 == 0 {
				t.Fatal("an even salt loses a bit of the address")
			}
		}
	}
	if deals != 7 { // at 64, 128, … 4096
		t.Errorf("dealt %d times", deals)
	}
	if s := p.Stats(); s.Misses != 1 {
		t.Errorf("%d buffers made, want the one", s.Misses)
	}
}

func TestNoAllocations(t *testing.T) {
	p := New(Config{Size: 300})
	held, piece := make([]*Buffer, 0, 200), make([]byte, 100)
	for name, f := range map[string]func(){
		"one":   func() { p.Get(512).Release() },
		"grown": func() { p.Get(512).Append(piece).Grow(4096).Release() },
		"held": func() {
			for i := range cap(held) {
				held = append(held, p.Get(i*7))
			}
			releaseAll(held)
			held = held[:0]
		},
		"counted": func() { p.Stats() },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
