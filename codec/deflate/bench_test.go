package deflate

import (
	stdflate "compress/flate"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/flate"
)

// reportSize adds what came out, in bytes an operation.
func reportSize(b *testing.B, sum int) {
	b.ReportMetric(float64(sum)/float64(b.N), "deflated-B/op")
}

func BenchmarkAppend(b *testing.B) {
	speech := tokens(1000)
	dst := make([]byte, 0, 256<<10)
	for _, takeover := range []bool{true, false} {
		b.Run(fmt.Sprintf("event/takeover=%v", takeover), func(b *testing.B) {
			b.ReportAllocs()
			sum, i := 0, 0
			var dict []byte
			for b.Loop() {
				if takeover {
					dict = speech[i%1000]
				}
				i++
				sum += len(Append(dst, speech[i%1000], dict, 15))
			}
			reportSize(b, sum)
		})
	}
	for _, kb := range []int{1, 8, 32, 100, 200} {
		text := snapshot(b, kb<<10)
		b.Run(fmt.Sprintf("snapshot/%dKiB", kb), func(b *testing.B) {
			b.ReportAllocs()
			sum := 0
			for b.Loop() {
				sum += len(Append(dst, text, nil, 15))
			}
			reportSize(b, sum)
		})
	}
}

type flateWriter interface {
	Reset(w io.Writer)
	Write(p []byte) (int, error)
	Flush() error
}

// BenchmarkCompare has what Append could be made of: docs/adr/0026-compression.md.
func BenchmarkCompare(b *testing.B) {
	w := &writer{out: make([]byte, 0, 256<<10)}
	ways := []struct {
		name string
		into func(payload, dict []byte)
	}{
		{"small", func(payload, dict []byte) {
			if len(payload) <= maxSmall {
				w.out = appendSmall(w.out, payload, dict, 1<<15)
			}
		}},
		{"stateless", func(payload, dict []byte) { _ = flate.StatelessDeflate(w, payload, false, dict) }},
	}
	for l := 1; l <= 7; l++ {
		fw, _ := flate.NewWriter(w, l)
		ways = append(ways, struct {
			name string
			into func(payload, dict []byte)
		}{fmt.Sprint("level", l), func(payload, dict []byte) {
			fw.ResetDict(w, dict)
			_, _ = fw.Write(payload)
			_ = fw.Flush()
		}})
	}
	for _, l := range []int{1, 3, 6} {
		fw, _ := stdflate.NewWriter(w, l)
		ways = append(ways, struct {
			name string
			into func(payload, dict []byte)
		}{fmt.Sprint("std", l), func(payload, dict []byte) {
			fw.Reset(w) // it knows no dictionary but that of its beginning
			_, _ = fw.Write(payload)
			_ = fw.Flush()
		}})
	}
	speech := tokens(1000)
	cases := []struct {
		name string
		pair func(i int) (payload, dict []byte)
	}{
		{"event", func(i int) (payload, dict []byte) { return speech[(i+1)%1000], speech[i%1000] }},
	}
	for _, size := range []int{256, 512, 1 << 10, 2 << 10, 8 << 10, 32 << 10, 100 << 10, 200 << 10} {
		text := snapshot(b, 201<<10)[1<<10:][:size]
		cases = append(cases, struct {
			name string
			pair func(i int) (payload, dict []byte)
		}{fmt.Sprint("snapshot", size), func(int) (payload, dict []byte) { return text, speech[0] }})
	}
	for _, tc := range cases {
		for _, way := range ways {
			if payload, _ := tc.pair(0); way.name == "small" && len(payload) > maxSmall {
				continue
			}
			b.Run(tc.name+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				sum, i := 0, 0
				for b.Loop() {
					w.out = w.out[:0]
					way.into(tc.pair(i))
					i++
					sum += len(w.out)
				}
				reportSize(b, sum)
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	speech := tokens(2)
	var dst []byte
	for _, tc := range []struct {
		name  string
		plain []byte
		p     []byte
		err   error
	}{
		{"event", speech[1], Append(nil, speech[1], nil, 15), nil},
		{"snapshot/32KiB", snapshot(b, 32<<10), Append(nil, snapshot(b, 32<<10), nil, 15), nil},
		{"snapshot/200KiB", snapshot(b, 200<<10), Append(nil, snapshot(b, 200<<10), nil, 15), nil},
		{"bomb/10KiB", nil, bomb(b, 10<<10), ErrTooBig},
	} {
		for _, takeover := range []bool{false, true} {
			for _, room := range []bool{false, true} {
				if takeover && tc.err != nil || room && tc.err != nil {
					continue
				}
				b.Run(fmt.Sprintf("%s/takeover=%v/room=%v", tc.name, takeover, room), func(b *testing.B) {
					b.ReportAllocs()
					f := NewInflater(takeover)
					if room {
						dst = make([]byte, 0, len(tc.plain))
					}
					for b.Loop() {
						if !room {
							dst = nil
						}
						if _, err := f.Inflate(dst, tc.p, 1<<20); err != tc.err {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func BenchmarkCache(b *testing.B) {
	speech := tokens(100000)
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		var c Cache
		var prev *Sent
		i := 0
		for b.Loop() {
			_, prev = c.Next(prev, speech[i%len(speech)], 15)
			i++
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		var c Cache
		_, prev := c.Next(nil, speech[0], 15)
		for b.Loop() {
			c.Next(prev, speech[1], 15)
		}
	})
}
