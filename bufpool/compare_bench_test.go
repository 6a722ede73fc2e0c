package bufpool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// syncPool is the simplest design there is: a sync.Pool for each class, and a count of the bytes in
// use. It exists to be measured against Pool (docs/adr/0016-buffer-pool.md).
type syncPool struct {
	idle  [classCount]sync.Pool
	inUse [syncStripes]struct {
		atomic.Int64
		_ [128 - 8]byte
	}
	stripes uint64 // of inUse, a power of two; 1 is one counter for all
}

const syncStripes = 64

type syncBuffer struct {
	B      []byte
	mem    []byte
	pool   *syncPool
	class  int
	stripe uint64
	refs   int32
}

func (p *syncPool) Get(n int) *syncBuffer {
	var here byte
	stripe := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9E3779B97F4A7C15 >> 58 & (p.stripes - 1)
	c := classOf(n)
	b, _ := p.idle[c].Get().(*syncBuffer)
	if b == nil {
		b = &syncBuffer{mem: make([]byte, sizeOf(c)), pool: p, class: c}
	}
	b.B, b.refs, b.stripe = b.mem[:0], 1, stripe
	p.inUse[stripe].Add(int64(len(b.mem)))
	return b
}

func (b *syncBuffer) Release() {
	if atomic.LoadInt32(&b.refs) == 1 {
		b.refs = 0
	} else if n := atomic.AddInt32(&b.refs, -1); n > 0 {
		return
	} else if n < 0 {
		panicReleased()
	}
	b.B = nil
	b.pool.inUse[b.stripe].Add(-int64(len(b.mem)))
	b.pool.idle[b.class].Put(b)
}

func (p *syncPool) InUse() (n int64) {
	for i := range p.stripes {
		n += p.inUse[i].Load()
	}
	return n
}

type releaser interface{ Release() }

// BenchmarkCompare is every case for Pool and for a sync.Pool, with one count and with striped
// ones. What a case costs here is a nanosecond or two above BenchmarkGetRelease for each of them,
// since the calls are indirect.
func BenchmarkCompare(b *testing.B) {
	for _, tc := range []struct {
		name string
		run  func(b *testing.B, get func(int) releaser)
	}{
		{"alone", benchAlone},
		{"parallel", func(b *testing.B, get func(int) releaser) { benchParallel(b, 1, get) }},
		{"crowd", func(b *testing.B, get func(int) releaser) { benchParallel(b, 500, get) }},
		{"mixed", benchMixed},
		{"handover", benchHandover},
		{"hold64", func(b *testing.B, get func(int) releaser) { benchHold(b, 64, false, get) }},
		{"hold1000", func(b *testing.B, get func(int) releaser) { benchHold(b, 1000, false, get) }},
		{"hold1000garbage", func(b *testing.B, get func(int) releaser) { benchHold(b, 1000, true, get) }},
	} {
		b.Run(tc.name+"/pool", func(b *testing.B) {
			p := New(Config{})
			tc.run(b, func(n int) releaser { return p.Get(n) })
		})
		b.Run(tc.name+"/sync", func(b *testing.B) {
			p := &syncPool{stripes: 1}
			tc.run(b, func(n int) releaser { return p.Get(n) })
		})
		b.Run(tc.name+"/striped", func(b *testing.B) {
			p := &syncPool{stripes: syncStripes}
			tc.run(b, func(n int) releaser { return p.Get(n) })
		})
	}
}

func benchAlone(b *testing.B, get func(int) releaser) {
	b.ReportAllocs()
	for b.Loop() {
		get(512).Release()
	}
}

func benchParallel(b *testing.B, goroutines int, get func(int) releaser) {
	b.ReportAllocs()
	b.SetParallelism(goroutines)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get(512).Release()
		}
	})
}

func benchMixed(b *testing.B, get func(int) releaser) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			get(mixed[i%len(mixed)]).Release()
		}
	})
}

func benchHandover(b *testing.B, get func(int) releaser) {
	b.ReportAllocs()
	const batch = 64
	there, back := make(chan []releaser, 4), make(chan []releaser, 4)
	for range cap(back) {
		back <- make([]releaser, 0, batch)
	}
	go func() {
		defer close(back)
		for bufs := range there {
			for _, buf := range bufs {
				buf.Release()
			}
			back <- bufs[:0]
		}
	}()
	bufs := <-back
	for b.Loop() {
		if bufs = append(bufs, get(512)); len(bufs) == batch {
			there <- bufs
			bufs = <-back
		}
	}
	close(there)
	for range back {
	}
}

// benchHold lends a batch before any of it returns. With garbage every op also allocates 4 KiB, as
// an agent does, so that collections happen.
func benchHold(b *testing.B, n int, garbage bool, get func(int) releaser) {
	held := make([]releaser, 0, n)
	b.ReportAllocs()
	for b.Loop() {
		if len(held) == cap(held) {
			for _, buf := range held {
				buf.Release()
			}
			held = held[:0]
		}
		held = append(held, get(4<<10))
		if garbage {
			sink = make([]byte, 4<<10)
		}
	}
	runtime.KeepAlive(held)
}

var sink []byte

// BenchmarkInUse counts the bytes in use of a pool that keeps so many idle buffers.
func BenchmarkInUse(b *testing.B) {
	for _, tc := range []struct {
		name string
		n    int
	}{{"1000", 1000}, {"20000", 20000}} {
		b.Run(tc.name, func(b *testing.B) {
			p := New(Config{Size: tc.n})
			held := make([]*Buffer, tc.n)
			for i := range held {
				held[i] = p.Get(512)
			}
			for _, buf := range held {
				buf.Release()
			}
			b.ReportAllocs()
			for b.Loop() {
				p.InUse()
			}
		})
	}
	b.Run("striped", func(b *testing.B) {
		p := &syncPool{stripes: syncStripes}
		for b.Loop() {
			p.InUse()
		}
	})
}
