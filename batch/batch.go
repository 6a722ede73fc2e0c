// Package batch holds the bytes that wait to be written to one connection.
//
// It is a building block of agloop: its API may change in any minor release.
//
// A Queue is bytes in order: frames are copied one behind the other into pooled chunks, so that
// many small frames leave in one write. It neither locks nor knows a socket; package loop has both.
package batch

import (
	"slices"

	"github.com/agloop/agloop/bufpool"
)

// MaxSlices is how many slices Slices returns at most. More would not make a write cheaper, and so
// many fit on the caller's stack.
const MaxSlices = 16

// growUntil is the size, in bytes, up to which the last chunk is enlarged by copying before a new
// one is started. The cork buffer of uWebSockets has the same size.
const growUntil = 16 << 10

// Queue is the bytes waiting for one connection. The zero value is empty. Only one goroutine may
// use a Queue at a time.
type Queue struct {
	bufs   []*bufpool.Buffer // in order; the last may have room for more
	off    int               // bytes of bufs[0] already written
	bytes  int
	frames int
	memory int // bytes of all bufs, by capacity

	// Since is when the first frame was added, on the clock of the queue's owner. The owner writes
	// it; 0 is not noted.
	Since int64
	// Counted is how many of the frames the owner has counted already. The owner writes it.
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
		q.bufs = nil // a reused queue must not keep a long list
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

// Extend returns n bytes at the end of the queue, which the caller fills with a frame or a part of
// one. They are valid until the next call of any method that changes the queue.
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

// addChunk makes room for n bytes behind the last chunk. It grows that one while it is small, so
// that a single small frame does not hold a large chunk, and adds one as large as all before it
// later, so that much data does not make many chunks.
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
			// Half-empty chunks would double the memory of a queue of large frames.
			n = min(n, q.bufs[last].Spare())
		}
		p = p[copy(q.Extend(n), p):]
	}
}

// AddFrame counts one frame whose bytes were added by Extend or Append.
func (q *Queue) AddFrame() { q.frames++ }

// Insert puts a copy of p behind the first n of the waiting bytes.
func (q *Queue) Insert(n int, p []byte) {
	if q.off > 0 { // the written part of the first buffer would be counted by the loop below
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
	if n > 0 { // inside a buffer: what follows in it goes into a buffer behind p
		b := q.bufs[i]
		fresh = append(fresh, bufpool.Get(len(b.B)-n).Append(b.B[n:]))
		b.B = b.B[:n]
		i++
	}
	for len(p) > 0 {
		// From the end of p, because each piece is inserted before those of the turns before.
		last := len(p) - 1 - (len(p)-1)%bufpool.MaxSize
		fresh = append(fresh, bufpool.Get(len(p)-last).Append(p[last:]))
		p = p[:last]
	}
	for _, b := range fresh {
		q.memory += b.Cap()
		q.bufs = slices.Insert(q.bufs, i, b)
	}
}

// Truncate drops all but the first n of the bytes that wait, which are the rest of at most one
// frame, whose owner has counted it. They are copied, so that no more memory is kept than they need.
func (q *Queue) Truncate(n int) {
	old := *q
	*q = Queue{}
	off := old.off
	for _, b := range old.bufs {
		p := b.B[off:]
		off = 0
		p = p[:min(n, len(p))]
		q.Append(p)
		n -= len(p)
		b.Release()
	}
	if q.bytes > 0 {
		q.frames, q.Counted = 1, 1
	}
}

// From returns the waiting bytes behind the first n, up to the end of their chunk. The header of a
// frame is never split between chunks. They are valid until the next call of a method that changes
// the queue.
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

// CopyTo appends a copy of size of the waiting bytes, behind the first n, to dst.
func (q *Queue) CopyTo(dst []byte, n, size int) []byte {
	for size > 0 {
		p := q.From(n)
		p = p[:min(len(p), size)]
		dst = append(dst, p...)
		n, size = n+len(p), size-len(p)
	}
	return dst
}

// First returns the bytes of the first chunk and reports whether they are all that wait. They are
// valid until the next call of a method that changes the queue, which must not be empty.
func (q *Queue) First() (p []byte, all bool) {
	return q.bufs[0].B[q.off:], len(q.bufs) == 1
}

// Slices appends the first of the waiting bytes to dst, at most limit bytes in at most MaxSlices
// slices. They are valid until the next call of a method that changes the queue.
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

// Discard removes the first n bytes, which have been written. When the queue becomes empty it sets
// the number of frames to 0.
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
