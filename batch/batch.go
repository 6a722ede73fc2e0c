// Package batch holds what waits to be written to one connection and says when
// it is due.
//
// A Queue is bytes in order: frames are copied behind each other into pooled
// chunks, so that many small frames leave in one write. A Window is the rule of
// the batch window. Neither locks nor knows a socket; package loop gives them both.
package batch

import (
	"slices"
	"time"

	"github.com/agloop/agloop/bufpool"
)

// MaxSlices is how many slices Slices gives at most: enough for any write that pays, few enough for a caller's stack.
const MaxSlices = 16

// growUntil is the size, in bytes, up to which the last chunk is enlarged by
// copying before a new one is started (the cork buffer of uWebSockets has this size).
const growUntil = 16 << 10

// Queue is the bytes waiting for one connection. The zero value is empty. A
// Queue has one owner at a time.
type Queue struct {
	bufs   []*bufpool.Buffer // in order; the last may have room for more
	off    int               // bytes of bufs[0] already written
	bytes  int
	frames int
	memory int // bytes of all bufs, by capacity

	// Since is when the first frame came, on its owner's clock; 0: nobody noted it.
	Since int64
	// Counted is how many of the frames are in their owner's counter already.
	Counted int
}

// Reset releases all buffers and leaves the queue empty.
func (q *Queue) Reset() {
	for i, b := range q.bufs {
		b.Release()
		q.bufs[i] = nil
	}
	*q = Queue{bufs: q.bufs[:0]}
	if cap(q.bufs) > 64 {
		q.bufs = nil // a long list must not stay with a queue that is used again
	}
}

// Memory is what the queue holds, in bytes, by the capacity of its buffers.
func (q *Queue) Memory() int { return q.memory }

// Bytes is the number of bytes waiting.
func (q *Queue) Bytes() int { return q.bytes }

// Frames is the number of frames added since the queue was last empty.
func (q *Queue) Frames() int { return q.frames }

// Reserve makes the first chunk of an empty queue n bytes large.
func (q *Queue) Reserve(n int) { q.appendBuffer(bufpool.Get(n)) }

func (q *Queue) appendBuffer(b *bufpool.Buffer) {
	q.bufs = append(q.bufs, b)
	q.memory += b.Cap()
}

// Room returns n bytes at the end of the queue for the caller to fill with one
// frame, or the end of one.
func (q *Queue) Extend(n int) []byte {
	last := len(q.bufs) - 1
	if last < 0 || q.bufs[last].Spare() < n {
		q.addChunk(n)
		last = len(q.bufs) - 1
	}
	b := q.bufs[last]
	at := len(b.B)
	b.B = b.B[:at+n]
	q.bytes += n
	return b.B[at:]
}

// extend adds a chunk with room for n bytes, or grows the last one while it is small:
// a lone token should not hold a large chunk, a flood should not make many.
func (q *Queue) addChunk(n int) {
	if last := len(q.bufs) - 1; last >= 0 && len(q.bufs[last].B)+n <= growUntil {
		b := q.bufs[last]
		q.memory -= b.Cap()
		b = b.Grow(max(n, 3*len(b.B)))
		q.bufs[last] = b
		q.memory += b.Cap()
		return
	}
	size := n
	if q.bytes > 0 {
		size = max(n, min(q.bytes, bufpool.MaxSize))
	}
	q.appendBuffer(bufpool.Get(size))
}

// Append copies p to the end of the queue, in chunks that go back to the pool.
func (q *Queue) Append(p []byte) {
	for len(p) > 0 {
		n := min(len(p), bufpool.MaxSize)
		if last := len(q.bufs) - 1; last >= 0 && q.bufs[last].Spare() > 0 {
			n = min(n, q.bufs[last].Spare()) // half-empty chunks would double what a queue of large frames takes
		}
		p = p[copy(q.Extend(n), p):]
	}
}

// AddFrame counts one frame whose bytes were filled in by way of Room.
func (q *Queue) AddFrame() { q.frames++ }

// Insert puts p behind the first n of the bytes that wait.
func (q *Queue) Insert(n int, p []byte) {
	if q.off > 0 { // what is written of the first buffer is no part of it any more
		q.bufs[0].B = q.bufs[0].B[q.off:]
		q.off = 0
	}
	i := 0
	for i < len(q.bufs) && n >= len(q.bufs[i].B) {
		n -= len(q.bufs[i].B)
		i++
	}
	q.bytes += len(p)
	var fresh []*bufpool.Buffer
	if n > 0 { // inside a buffer: its rest comes behind p
		b := q.bufs[i]
		fresh = append(fresh, bufpool.Get(len(b.B)-n).Append(b.B[n:]))
		b.B = b.B[:n]
		i++
	}
	for len(p) > 0 {
		last := len(p) - 1 - (len(p)-1)%bufpool.MaxSize // from behind, so that each goes before the others
		fresh = append(fresh, bufpool.Get(len(p)-last).Append(p[last:]))
		p = p[:last]
	}
	for _, b := range fresh {
		q.memory += b.Cap()
		q.bufs = slices.Insert(q.bufs, i, b)
	}
}

// From is the bytes that wait behind the first n, as far as they lie together: a frame's header does.
func (q *Queue) From(n int) []byte {
	n += q.off
	for _, b := range q.bufs {
		if n < len(b.B) {
			return b.B[n:]
		}
		n -= len(b.B)
	}
	return nil
}

// First is the first of the waiting bytes, and whether they are all. They are valid until the next
// call of Insert, Discard or Reset.
func (q *Queue) First() (p []byte, all bool) {
	return q.bufs[0].B[q.off:], len(q.bufs) == 1
}

// Slices appends the first of the waiting bytes to dst, as at most MaxSlices slices and at most limit bytes. They are
// valid until the next call of Insert, Discard or Reset.
func (q *Queue) Slices(dst [][]byte, limit int) [][]byte {
	off, n := q.off, 0
	for _, b := range q.bufs {
		if len(dst) == MaxSlices || n >= limit {
			break
		}
		p := b.B[off:]
		off = 0
		p = p[:min(len(p), limit-n)]
		if len(p) > 0 {
			dst = append(dst, p)
			n += len(p)
		}
	}
	return dst
}

// Discard drops the first n bytes: they are written. A queue that becomes empty
// forgets its frames.
func (q *Queue) Discard(n int) {
	q.bytes -= n
	i := 0
	for i < len(q.bufs) {
		rest := len(q.bufs[i].B) - q.off
		if n < rest {
			q.off += n
			break
		}
		n -= rest
		q.off = 0
		q.memory -= q.bufs[i].Cap()
		q.bufs[i].Release()
		i++
	}
	rem := copy(q.bufs, q.bufs[i:])
	clear(q.bufs[rem:])
	q.bufs = q.bufs[:rem]
	if rem == 0 {
		q.frames, q.Counted = 0, 0
	}
}

// Window is the rule that gathers messages into one write: a message to a
// quiet connection is due at once; later ones within Timeout of the last flush wait until
// there are Size of them, or Bytes bytes, or until Timeout has passed since
// that flush. A lone message pays no delay and a burst pays no system call each.
type Window struct {
	Size    int           // messages; 1 or less: nothing ever waits
	Timeout time.Duration // 0 or less: nothing ever waits
	Bytes   int           // bytes; 0 or less: no limit by bytes
}

// Due returns when a queue with the given content, last flushed at the given
// time, must be flushed: a time not after now means at once. Times are
// nanoseconds on one monotonic clock.
func (w Window) Due(frames, bytes int, flushed, now int64) int64 {
	if w.Size <= 1 || frames >= w.Size || w.Bytes > 0 && bytes >= w.Bytes {
		return now
	}
	return flushed + int64(w.Timeout)
}
