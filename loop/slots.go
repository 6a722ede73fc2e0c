package loop

import "sync/atomic"

// Slots bounds how many connections there are. A slot is acquired before the handshake and released
// exactly once; a connection that is let in counts from then on until its slot is released, and
// only so many may. Slots beyond those are for connections whose request is being read: what asks
// for no WebSocket is answered also when no more are let in. A slot's generation is part of its
// identity, so a stale ID never reaches the connection that came after. Acquire and Release take no
// lock and allocate nothing but the chunk of a slot that is the first of its chunk; any goroutine may
// call.
type Slots struct {
	// Immutable. The table may be made for 16 million descriptors, so its chunks are made when
	// first used, and stay.
	size   int // slots there are
	heads  int // of them, those beyond the connections that may be let in
	chunks []atomic.Pointer[chunk]

	// head is the list of released cells: a tag that changes with every push, against ABA, above
	// index+1; 0 in the low half is the empty list.
	head  atomic.Uint64
	fresh atomic.Uint32 // cells from here on were never used; those before it have their chunk
	used  atomic.Int64  // slots taken
	in    atomic.Int64  // connections that were let in
	most  atomic.Int64  // of in; at most size-heads
}

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

type chunk [chunkSize]cell

type cell struct {
	gen  atomic.Uint32 // odd while the slot is taken
	next atomic.Uint32 // index+1 of the next released cell
	conn atomic.Pointer[Conn]
}

// ID names one connection of a server for ever: slot and generation. The zero ID names none.
type ID uint64

func (id ID) cell() uint32 { return uint32(id) }
func (id ID) gen() uint32  { return uint32(id >> 32) }

// newSlotTable returns slots for so many connections that are let in, and for so many others whose
// request is read.
func newSlotTable(conns, heads int) *Slots {
	size := conns + heads
	s := &Slots{size: size, heads: heads, chunks: make([]atomic.Pointer[chunk], (size+chunkSize-1)/chunkSize)}
	s.most.Store(int64(conns))
	return s
}

// Cap is the number of connections that may be let in.
func (s *Slots) Cap() int { return int(s.most.Load()) }

// setCap changes it, to at most what newSlotTable made; 0 is that. Connections beyond a smaller
// number stay until they end.
func (s *Slots) setCap(n int) {
	if n <= 0 || n > s.size-s.heads {
		n = s.size - s.heads
	}
	s.most.Store(int64(n))
}

// admit counts one more connection that is let in; false means that no more may.
func (s *Slots) admit() bool {
	if s.in.Add(1) > s.most.Load() {
		s.in.Add(-1)
		return false
	}
	return true
}

// leave undoes admit.
func (s *Slots) leave() { s.in.Add(-1) }

// Open is the number of connections that were let in.
func (s *Slots) Open() int { return int(s.in.Load()) }

// outside is the number of connections whose request is being read.
func (s *Slots) outside() int { return int(s.used.Load() - s.in.Load()) }

// cell is one that was used before.
func (s *Slots) cell(i uint32) *cell { return &s.chunks[i>>chunkBits].Load()[i%chunkSize] }

// Used is the number of slots taken: by connections that are open, and by those in their handshake.
func (s *Slots) Used() int { return int(s.used.Load()) }

// Acquire takes a slot; false means that none is left.
func (s *Slots) Acquire() (ID, bool) {
	// Beside those that are in, which are more than may when that was lowered, there is room for heads.
	if s.used.Add(1) > max(s.most.Load(), s.in.Load())+int64(s.heads) {
		s.used.Add(-1)
		return 0, false
	}
	i, ok := s.pop()
	if !ok {
		s.used.Add(-1)
		return 0, false
	}
	gen := s.cell(i).gen.Add(1)
	return ID(uint64(gen)<<32 | uint64(i)), true
}

// Release gives the slot back. It returns false, and does nothing, when id does not hold it any
// more.
func (s *Slots) Release(id ID) bool {
	i := id.cell()
	if i >= s.fresh.Load() || id.gen()&1 == 0 {
		return false
	}
	c := s.cell(i)
	if !c.gen.CompareAndSwap(id.gen(), id.gen()+1) {
		return false
	}
	c.conn.Store(nil)
	for {
		head := s.head.Load()
		c.next.Store(uint32(head))
		if s.head.CompareAndSwap(head, (head>>32+1)<<32|uint64(i+1)) {
			s.used.Add(-1)
			return true
		}
	}
}

func (s *Slots) pop() (uint32, bool) {
	for {
		head := s.head.Load()
		if uint32(head) == 0 {
			break
		}
		i := uint32(head) - 1
		if s.head.CompareAndSwap(head, (head>>32+1)<<32|uint64(s.cell(i).next.Load())) {
			return i, true
		}
	}
	for {
		i := s.fresh.Load()
		if int(i) >= s.size {
			return 0, false
		}
		s.makeChunk(i)
		if s.fresh.CompareAndSwap(i, i+1) {
			return i, true
		}
	}
}

// makeChunk makes the chunk of cell i unless it is there. It comes before the cell is counted as
// used, so that nobody finds a used cell without one.
func (s *Slots) makeChunk(i uint32) {
	if c := &s.chunks[i>>chunkBits]; c.Load() == nil {
		c.CompareAndSwap(nil, new(chunk)) // of two at once one is dropped
	}
}

// bind makes c findable by its slot.
func (s *Slots) bind(c *Conn) { s.cell(c.id.cell()).conn.Store(c) }

// Conn returns the connection that id names, or nil when it is gone.
func (s *Slots) Conn(id ID) *Conn {
	i := id.cell()
	if i >= s.fresh.Load() || id.gen()&1 == 0 {
		return nil
	}
	c := s.cell(i).conn.Load()
	if c == nil || c.id != id {
		return nil
	}
	return c
}

// Each calls f for every connection there is now, those in their handshake included.
func (s *Slots) Each(f func(*Conn)) {
	for i := range s.fresh.Load() {
		if c := s.cell(i).conn.Load(); c != nil {
			f(c)
		}
	}
}
