package batch

import "testing"

// BenchmarkQueue is a burst of eight frames of 128 bytes on its way out: into a queue, read as
// slices, discarded as written, the queue emptied. One operation is one frame.
func BenchmarkQueue(b *testing.B) {
	const burst, size = 8, 128
	payload := make([]byte, size)
	slices := make([][]byte, 0, MaxSlices)
	var q Queue
	b.ReportAllocs()
	for n := 0; n < b.N; n += burst {
		for range burst {
			copy(q.Extend(size), payload)
			q.AddFrame()
		}
		written := 0
		for _, p := range q.Slices(slices, 1<<20) {
			written += len(p)
		}
		q.Discard(written)
		if written != burst*size || q.Bytes() != 0 {
			b.Fatalf("%d bytes as slices, %d left", written, q.Bytes())
		}
		q.Reset()
	}
}
