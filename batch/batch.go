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
	chunks []chunk // in order; the last may have room for more
	off    int     // bytes of chunks[0] already written
	bytes  int
	frames int
	memory int // bytes of the chunks that are the queue's own, by capacity

	// Since is when the first frame was added, on the clock of the queue's owner. The owner writes
	// it; 0 is not noted.
	Since int64
	// Counted is how many of the frames the owner has counted already. The owner writes it.
	Counted int
}

// chunk is some of the bytes.
type chunk struct {
	buf    *bufpool.Buffer
	b      []byte // in buf; without spare capacity where that is shared
	shared bool   // others hold buf, too
}

func (c *chunk) spare() int { return cap(c.b) - len(c.b) }

// Reset releases all buffers and leaves the queue empty.
func (q *Queue) Reset() {
	for i := range q.chunks {
		q.chunks[i].buf.Release()
	}
	clear(q.chunks)
	*q = Queue{chunks: q.chunks[:0]}
	if cap(q.chunks) > 64 {
		q.chunks = nil // a reused queue must not keep a long list
	}
}

// Memory is what the queue holds for itself, in bytes, by the capacity of its buffers.
func (q *Queue) Memory() int { return q.memory }

// Bytes is the number of bytes waiting.
func (q *Queue) Bytes() int { return q.bytes }

// Frames is the number of frames added since the queue was last empty.
func (q *Queue) Frames() int { return q.frames }

// Reserve makes the first chunk of an empty queue n bytes large.
func (q *Queue) Reserve(n int) { q.appendBuffer(bufpool.Get(n)) }

func (q *Queue) appendBuffer(b *bufpool.Buffer) {
	q.chunks = append(q.chunks, chunk{buf: b, b: b.B})
	q.memory += b.Cap()
}

// Share adds p to the end of the queue without copying it. It lies in b, which the queue retains.
func (q *Queue) Share(b *bufpool.Buffer, p []byte) {
	q.chunks = append(q.chunks, chunk{buf: b.Retain(), b: p[:len(p):len(p)], shared: true})
	q.bytes += len(p)
}

// Extend returns n bytes at the end of the queue, which the caller fills with a frame or a part of
// one. They are valid until the next call of any method that changes the queue.
func (q *Queue) Extend(n int) []byte {
	last := len(q.chunks) - 1
	if last < 0 || q.chunks[last].spare() < n {
		q.addChunk(n)
		last = len(q.chunks) - 1
	}
	c := &q.chunks[last]
	at := len(c.b)
	c.b = c.b[:at+n]
	q.bytes += n
	return c.b[at:]
}

// addChunk makes room for n bytes behind the last chunk. It grows that one while it is small, so
// that a single small frame does not hold a large chunk, and adds one as large as all before it
// later, so that much data does not make many chunks.
func (q *Queue) addChunk(n int) {
	if last := len(q.chunks) - 1; last >= 0 && !q.chunks[last].shared && len(q.chunks[last].b)+n <= growUntil {
		c := &q.chunks[last]
		q.memory -= c.buf.Cap()
		c.buf.B = c.b
		c.buf = c.buf.Grow(max(n, 3*len(c.b)))
		c.b = c.buf.B
		q.memory += c.buf.Cap()
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
		if last := len(q.chunks) - 1; last >= 0 && q.chunks[last].spare() > 0 {
			// Half-empty chunks would double the memory of a queue of large frames.
			n = min(n, q.chunks[last].spare())
		}
		p = p[copy(q.Extend(n), p):]
	}
}

// AddFrame counts one frame whose bytes were added by Extend or Append.
func (q *Queue) AddFrame() { q.frames++ }

// Insert puts a copy of p behind the first n of the waiting bytes.
func (q *Queue) Insert(n int, p []byte) {
	if q.off > 0 { // the written part of the first chunk would be counted by the loop below
		q.chunks[0].b = q.chunks[0].b[q.off:]
		q.off = 0
	}
	i := 0
	for i < len(q.chunks) && n >= len(q.chunks[i].b) {
		n -= len(q.chunks[i].b)
		i++
	}
	q.bytes += len(p)
	var fresh []*bufpool.Buffer
	if n > 0 { // inside a chunk: what follows in it goes into a buffer behind p
		c := &q.chunks[i]
		fresh = append(fresh, bufpool.Get(len(c.b)-n).Append(c.b[n:]))
		c.b = c.b[:n:n]
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
		q.chunks = slices.Insert(q.chunks, i, chunk{buf: b, b: b.B})
	}
}

// Truncate drops all but the first n of the bytes that wait, which are the rest of at most one
// frame, whose owner has counted it. They are copied, so that no more memory is kept than they need.
func (q *Queue) Truncate(n int) {
	old := *q
	*q = Queue{}
	off := old.off
	for _, c := range old.chunks {
		p := c.b[off:]
		off = 0
		p = p[:min(n, len(p))]
		q.Append(p)
		n -= len(p)
		c.buf.Release()
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
	for i := range q.chunks {
		b := q.chunks[i].b
		if n < len(b) {
			return b[n:]
		}
		n -= len(b)
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
	return q.chunks[0].b[q.off:], len(q.chunks) == 1
}

// Slices appends the first of the waiting bytes to dst, at most limit bytes in at most MaxSlices
// slices. They are valid until the next call of a method that changes the queue.
func (q *Queue) Slices(dst [][]byte, limit int) [][]byte {
	off, n := q.off, 0
	for i := range q.chunks {
		if len(dst) == MaxSlices || n >= limit {
			break
		}
		p := q.chunks[i].b[off:]
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
	for i < len(q.chunks) {
		c := &q.chunks[i]
		rest := len(c.b) - q.off
		if n < rest {
			q.off += n
			break
		}
		n -= rest
		q.off = 0
		if !c.shared {
			q.memory -= c.buf.Cap()
		}
		c.buf.Release()
		i++
	}
	rem := copy(q.chunks, q.chunks[i:])
	clear(q.chunks[rem:])
	q.chunks = q.chunks[:rem]
	if rem == 0 {
		q.frames, q.Counted = 0, 0
	}
}
