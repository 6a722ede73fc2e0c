// Package bufpool lends byte buffers by size class and counts the bytes that are lent.
//
// It is a building block of agloop: its API may change in any minor release.
//
// A Buffer has one or more owners, each with a reference; the last Release gives the memory back.
// From then on no owner may use the bytes. Under the build tag aguidebug a use after release
// panics, and released memory is overwritten, so that a slice that is kept too long is noticed. A
// second release panics in every build, as long as the memory has not been lent again.
//
// All functions and methods may be called from any goroutine. The bytes themselves are not
// synchronised: owners that share a Buffer may only read it.
//
// # How it works
//
// Every buffer that is kept has a slot of its own in a group of eight, and returns to that slot.
// One word of the group says which slots hold an idle buffer and how often one was lent. So lending
// and returning are one compare-and-swap each, the counts are exact, and two goroutines share a
// cache line only if they share buffers. A Pool has as many slots as its Size says, which bounds
// the idle buffers. Making a buffer, its first return and everything else that is rare takes the
// mutex of the pool. Why this is not a sync.Pool: docs/adr/0016-buffer-pool.md.
//
// Start reading at pool.go, then group.go, buffer.go, slots.go.
package bufpool

import "math/bits"

// Size classes are powers of two from MinSize bytes up. MaxSize is the largest that a pool keeps
// unless its Config says otherwise, in bytes. Larger buffers have the size that was asked for, are
// counted, and are left to the garbage collector.
const (
	MinSize = 256
	MaxSize = 64 << 10

	minShift   = 8  // log2(MinSize)
	maxShift   = 24 // log2 of the largest class there is, 16 MiB
	classCount = maxShift - minShift + 1
	unpooled   = classCount // the class of everything larger
)

// Default is the pool behind Get and InUse. It may be tuned (SetSize, SetMaxBuffer, Trim) at any
// time, and must not be replaced once a buffer has been lent.
var Default = New(Config{})

// Get is Default.Get.
func Get(n int) *Buffer { return Default.Get(n) }

// InUse is Default.InUse: the bytes lent by the default pool now, by capacity.
func InUse() int64 { return Default.InUse() }

// classOf is the smallest class that holds n bytes, or unpooled.
func classOf(n int) int {
	if n <= MinSize {
		return 0
	}
	return min(bits.Len(uint(n-1))-minShift, unpooled)
}

// topClass is the largest class of at most n bytes, or -1.
func topClass(n int) int {
	if n < MinSize {
		return -1
	}
	return min(bits.Len(uint(n))-1-minShift, classCount-1)
}

// sizeOf is the size in bytes of a buffer of class c.
func sizeOf(c int) int { return MinSize << c }
