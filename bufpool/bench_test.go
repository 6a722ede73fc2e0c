package bufpool

import "testing"

func BenchmarkGetRelease(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		p.Get(512).Release()
	}
}

func BenchmarkGetReleaseParallel(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Get(512).Release()
		}
	})
}

// BenchmarkGetReleaseCrowd has far more goroutines than processors and shards.
func BenchmarkGetReleaseCrowd(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	b.SetParallelism(500)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Get(512).Release()
		}
	})
}

// mixed is a run of sizes as messages have them: most are small.
var mixed = [...]int{0, 100, 300, 200, 1000, 64, 4 << 10, 180, 700, 90, 16 << 10, 400, 128, 2 << 10, 64 << 10, 250}

func BenchmarkGetReleaseMixed(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Get(mixed[i%len(mixed)]).Release()
		i++
	}
}

func BenchmarkGetReleaseMixedParallel(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			p.Get(mixed[i%len(mixed)]).Release()
		}
	})
}

// BenchmarkHold lends a batch before any of it returns. One op is one buffer.
func BenchmarkHold(b *testing.B) {
	for _, tc := range []struct {
		name       string
		size, held int
	}{
		{"64of1000", 1000, 64},
		{"1000of1000", 1000, 1000},
		{"20000of20000", 20000, 20000},
		{"2000of1000", 1000, 2000}, // every second one is new and discarded
	} {
		b.Run(tc.name, func(b *testing.B) {
			p := New(Config{Size: tc.size})
			held := make([]*Buffer, 0, tc.held)
			b.ReportAllocs()
			for b.Loop() {
				if len(held) == cap(held) {
					for _, buf := range held {
						buf.Release()
					}
					held = held[:0]
				}
				held = append(held, p.Get(512))
			}
		})
	}
}

// BenchmarkHandover gets on one goroutine and releases on another, as a run and a loop do.
func BenchmarkHandover(b *testing.B) {
	p := New(Config{})
	b.ReportAllocs()
	const batch = 64
	there := make(chan []*Buffer, 4)
	back := make(chan []*Buffer, 4)
	for range cap(back) {
		back <- make([]*Buffer, 0, batch)
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
		if bufs = append(bufs, p.Get(512)); len(bufs) == batch {
			there <- bufs
			bufs = <-back
		}
	}
	close(there)
	for range back {
	}
}

func BenchmarkStats(b *testing.B) {
	p := New(Config{})
	held := make([]*Buffer, 1000)
	for i := range held {
		held[i] = p.Get(mixed[i%len(mixed)])
	}
	for _, buf := range held {
		buf.Release()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Stats()
	}
}
