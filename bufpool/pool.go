package bufpool

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Config is what a Pool is made with. The zero value is the default.
type Config struct {
	// Size is how many idle buffers are kept, over all classes. 0 means 1000; negative switches
	// pooling off, so that every buffer is new.
	Size int
	// MaxBuffer is the size of the largest buffer that is kept, in bytes, rounded down to a power
	// of two; at most 16 MiB. 0 means 64 KiB; less than MinSize keeps none.
	MaxBuffer int
}

// defaultSize is the number of idle buffers kept if Config.Size is 0.
const defaultSize = 1000

// Pool lends buffers and keeps those that come back, up to a number and a size that may be changed
// while it runs. All methods may be called from any goroutine.
type Pool struct {
	// Immutable.
	shift uint   // 64 - log2(shards)
	cells []cell // by class, then shard

	// Any goroutine.
	top      atomic.Int32  // largest class that is kept, or -1
	hashSeed atomic.Uint64 // odd; the hash that picks a shard
	classes  [classCount]class

	bytesMade atomic.Int64 // bytes of the buffers there are, in use or idle
	misses    atomic.Uint64
	discards  atomic.Uint64
	clashes   atomic.Uint64 // goroutines of one shard that met
	slotsLeft atomic.Int64  // slots that may yet be opened; written under mu

	published atomic.Pointer[[]*group] // groups, for readers without mu; written under mu

	// Any goroutine, under mu.
	mu         sync.Mutex
	size       int
	groups     []*group // none is ever removed
	revokeNext int      // where in groups the last slot was revoked
}

// cell is what one shard knows about one size class.
type cell struct {
	hint atomic.Pointer[group] // where to look first: a group of the class, its own if it has one
	open groupList             // its groups with a free slot; under Pool.mu
}

// class is what a pool knows about one size class.
type class struct {
	groups atomic.Pointer[group] // all of them, newest first; written under Pool.mu
	// nonEmpty is a group that had an idle buffer when it was last looked at; nil means that no
	// group has one. Get clears it and then searches all groups, Release fills a slot and then
	// looks at it, so one of the two notices the other.
	nonEmpty atomic.Pointer[group]

	vacant groupList // groups without a buffer; under Pool.mu

	_ [cacheLine - 24]byte
}

// New makes an empty pool.
func New(cfg Config) *Pool {
	// A goroutine finds its shard by a hash. There are many more shards than processors, so that
	// two goroutines that run at once seldom have the same. A shard without groups costs two words
	// for each class.
	n := bits.Len(uint(min(max(16*runtime.GOMAXPROCS(0), 64), 256) - 1))
	p := &Pool{shift: uint(64 - n), cells: make([]cell, classCount<<n)}
	p.hashSeed.Store(0x9E3779B97F4A7C15)
	p.published.Store(&[]*group{})
	p.size = sizeFrom(cfg.Size)
	p.slotsLeft.Store(int64(p.size))
	p.top.Store(int32(topFrom(cfg.MaxBuffer)))
	return p
}

func sizeFrom(n int) int {
	if n == 0 {
		return defaultSize
	}
	return max(n, 0)
}

func topFrom(n int) int {
	if n == 0 {
		n = MaxSize
	}
	return topClass(n)
}

// Get returns an empty buffer with room for at least n bytes and one reference. The bytes up to its
// capacity are not cleared. It never fails.
func (p *Pool) Get(n int) *Buffer {
	c := classOf(n)
	if c > int(p.top.Load()) {
		return p.makeUnpooled(n)
	}
	// The stack of a goroutine seldom moves, so a hash of its address gives the goroutine the
	// buffers that it used last, for one instruction. Stacks are at least 2 KiB apart.
	var here byte
	s := uint32(uint64(uintptr(unsafe.Pointer(&here))>>11) * p.hashSeed.Load() >> (p.shift & 63))
	at := p.cell(c, s)
	g := at.hint.Load()
	if g == nil {
		return p.getAnywhere(at, c, s)
	}
	w := g.word.Load()
	bit := w & filled & -(w & filled)
	if bit == 0 {
		return p.getAnywhere(at, c, s)
	}
	if g.word.CompareAndSwap(w, w-bit+onePop) {
		return g.emptySlot(bit).lend()
	}
	return p.getContended(at, g, s)
}

func (p *Pool) cell(c int, s uint32) *cell {
	return &p.cells[uint64(c)<<(64-p.shift)|uint64(s)]
}

// getContended gets a buffer after another goroutine changed group g at the same instant. If g
// belongs to another shard and slots are left, it makes a buffer, which gets a group of this shard
// when it returns, so that the two goroutines do not meet again.
func (p *Pool) getContended(at *cell, g *group, s uint32) *Buffer {
	if g.shard.Load() == s {
		p.noteClash()
	} else if p.slotsLeft.Load() > 0 {
		return p.makeOfClass(int(g.class), s)
	}
	if b := g.pop(); b != nil {
		return b.lend()
	}
	return p.getAnywhere(at, int(g.class), s)
}

// noteClash counts that two goroutines of one shard have met. Each time the count has doubled, the
// hash is changed, which gives every goroutine another shard. So two that always meet are separated
// soon, and little is spent where there are too many to separate.
func (p *Pool) noteClash() {
	const firstRehash = 64
	if n := p.clashes.Add(1); n >= firstRehash && n&(n-1) == 0 {
		p.hashSeed.Store(p.hashSeed.Load()*0xD1342543DE82EF95 | 1)
	}
}

// getAnywhere gets an idle buffer from any group of class c, or makes one.
func (p *Pool) getAnywhere(at *cell, c int, s uint32) *Buffer {
	k := &p.classes[c]
	from := k.nonEmpty.Load()
	if from == nil {
		return p.makeOfClass(c, s)
	}
	if b := from.pop(); b != nil {
		at.hint.Store(from)
		return b.lend()
	}
	k.nonEmpty.Store(nil)
	// The walk begins behind the group that has just become empty, so that many Gets in a row walk
	// the groups once, and not once for each.
	wrapped := false
	for g := from.next; ; g = g.next {
		if g == nil {
			g, wrapped = k.groups.Load(), true
		}
		if b := g.pop(); b != nil {
			k.nonEmpty.Store(g)
			at.hint.Store(g)
			return b.lend()
		}
		if wrapped && g == from {
			return p.makeOfClass(c, s)
		}
	}
}

// noteIdle notes for getAnywhere that group g of class c has an idle buffer.
func (p *Pool) noteIdle(c int, g *group) {
	if k := &p.classes[c]; k.nonEmpty.Load() == nil {
		k.nonEmpty.Store(g)
	}
}

// makeOfClass makes a buffer of class c, which will be kept in a group of shard s.
func (p *Pool) makeOfClass(c int, s uint32) *Buffer {
	return p.makeBuffer(sizeOf(c), c, s)
}

// makeUnpooled makes a buffer of n bytes that is never kept. It has at least MinSize bytes, because
// who asks for fewer is going to append.
func (p *Pool) makeUnpooled(n int) *Buffer {
	return p.makeBuffer(max(n, MinSize), unpooled, 0)
}

func (p *Pool) makeBuffer(size, c int, s uint32) *Buffer {
	p.misses.Add(1)
	p.bytesMade.Add(int64(size))
	b := &Buffer{pool: p, mem: make([]byte, size), class: uint8(c), shard: s}
	return b.lend()
}

// discard leaves an idle buffer without a slot to the garbage collector.
func (p *Pool) discard(b *Buffer) {
	p.discards.Add(1)
	p.bytesMade.Add(-int64(len(b.mem)))
	b.mem = nil
}
