package deflate

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
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

// BenchmarkCompare has what Append could be made of: docs/adr/0026-compression.md.
func BenchmarkCompare(b *testing.B) {
	w := &writer{out: make([]byte, 0, 512<<10)}
	type way struct {
		name string
		into func(payload, dict []byte)
	}
	ways := []way{
		{"ours", func(payload, dict []byte) { w.out = Append(w.out, payload, dict, 15) }},
		{"stateless", func(payload, dict []byte) { _ = flate.StatelessDeflate(w, payload, false, dict) }},
	}
	for l := 1; l <= 7; l++ {
		fw, _ := flate.NewWriter(w, l)
		ways = append(ways, way{fmt.Sprint("level", l), func(payload, dict []byte) {
			fw.ResetDict(w, dict)
			_, _ = fw.Write(payload)
			_ = fw.Flush()
		}})
	}
	for _, l := range []int{1, 3, 6} {
		fw, _ := stdflate.NewWriter(w, l)
		ways = append(ways, way{fmt.Sprint("std", l), func(payload, dict []byte) {
			fw.Reset(w) // it knows no dictionary but that of its beginning
			_, _ = fw.Write(payload)
			_ = fw.Flush()
		}})
	}
	speech := tokens(1000)
	states := make([][]byte, 100)
	for i := range states {
		states[i] = fmt.Appendf(nil, `{"type":"STATE_SNAPSHOT","snapshot":{"progress":%d,"steps":%q}}`, i, snapshot(b, 700))
	}
	type kind struct {
		name string
		pair func(i int) (payload, dict []byte)
	}
	cases := []kind{
		{"event", func(i int) (payload, dict []byte) { return speech[(i+1)%1000], speech[i%1000] }},
		{"state", func(i int) (payload, dict []byte) { return states[(i+1)%len(states)], states[i%len(states)] }},
	}
	for _, size := range []int{256, 512, 1 << 10, 2 << 10, 8 << 10, 32 << 10, 100 << 10, 200 << 10} {
		text := snapshot(b, 201<<10)[1<<10:][:size]
		cases = append(cases, kind{fmt.Sprint("snapshot", size), func(int) (payload, dict []byte) { return text, speech[0] }})
	}
	for _, tc := range cases {
		for _, way := range ways {
			b.Run(tc.name+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				sum, i := 0, 0
				for b.Loop() {
					w.out = w.out[:0]
					way.into(tc.pair(i))
					i++
					sum += len(bytes.TrimSuffix(w.out, []byte(tail)))
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
