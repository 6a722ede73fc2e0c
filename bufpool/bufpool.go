// Package bufpool lends byte buffers by size class and counts the bytes that are out.
//
// A Buffer has one or more owners, each holding a reference; the last Release
// hands the memory back. Between Get and the last Release the bytes belong to the
// owners, afterwards to nobody: under the build tag aguidebug a use after release
// panics, and released memory is overwritten so that a slice kept too long shows
// itself. A second release panics in every build, as long as the memory has not been
// lent again.
//
// All functions and methods may be called from any goroutine. The bytes
// themselves are not synchronised: whoever shares a Buffer shares it read-only.
//
// # How it works
//
// Every buffer that is kept has a slot of its own in a group of eight, and comes back
// to it. One word of the group says which slots are filled and how often one was
// taken, so lending and returning are one compare-and-swap each, the counts are exact,
// and no two goroutines share a cache line unless they share buffers. A Pool opens as
// many slots as its Size says; that is the bound on idle buffers. Making a buffer, its first
// return and everything else that is rare goes through the mutex of the pool.
//
// Start reading at pool.go, then group.go, buffer.go, slots.go.
package bufpool

import "math/bits"

// Size classes are powers of two from MinSize bytes up. MaxSize is the largest that
// a pool keeps unless its Config says otherwise, in bytes. Larger buffers are made to
// measure, counted, and left to the garbage collector.
const (
	MinSize = 256
	MaxSize = 64 << 10

	minShift   = 8  // log2(MinSize)
	maxShift   = 24 // log2 of the largest class there is, 16 MiB
	classCount = maxShift - minShift + 1
	unpooled   = classCount // the class of everything larger
)

// Default is the pool behind Get and Live. It is there to be tuned (SetSize,
// SetMaxBuffer, Trim), not to be replaced while something runs.
var Default = New(Config{})

// Get is Default.Get.
func Get(n int) *Buffer { return Default.Get(n) }

// Live is Default.InUse: the bytes out of the default pool now, by capacity.
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
