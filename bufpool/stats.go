package bufpool

// Stats is what a Pool has done so far and what it holds. It is exact while no buffer is lent or
// released; otherwise its fields may be of slightly different instants.
type Stats struct {
	Gets     uint64 // buffers lent
	Misses   uint64 // of these, made new
	Discards uint64 // buffers left to the garbage collector: too large, beyond Size, or trimmed

	InUse   int64 // bytes lent now, by capacity
	Idle    int64 // bytes kept for the next Get
	Buffers int   // buffers kept for the next Get
}

// Stats reads all figures at the cost of one load for every eight buffers that the pool keeps: 0.4
// µs for 1,000 of them. Buffers are lent and released meanwhile, but what needs the lock of the
// pool waits: making a buffer's slot, SetSize, SetMaxBuffer, Trim.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s Stats
	for _, g := range p.groups {
		n := g.idle()
		s.Buffers += n
		s.Idle += int64(n) * int64(sizeOf(int(g.class)))
		s.Gets += g.pops()
	}
	s.Misses = p.misses.Load()
	s.Gets += s.Misses
	s.Discards = p.discards.Load()
	// This is not negative: an idle buffer holds a slot, each slot was counted once, and while mu
	// is held no slot changes its buffer, and none of these buffers is discarded.
	s.InUse = p.bytesMade.Load() - s.Idle
	return s
}

// InUse is the number of bytes lent now, by capacity; never negative, and exact while no buffer is
// lent or released. It costs as many loads as Stats and takes no lock, because a memory manager may
// ask a thousand times a second.
func (p *Pool) InUse() int64 {
	var idle int64
	for _, g := range *p.published.Load() {
		idle += int64(g.idle()) * int64(sizeOf(int(g.class)))
	}
	// Below zero when a buffer that was counted as idle has been discarded since.
	return max(0, p.bytesMade.Load()-idle)
}

// Idle is Stats().Idle: the number of bytes kept for the next Get.
func (p *Pool) Idle() int64 { return p.Stats().Idle }

// Buffers is Stats().Buffers: the number of buffers kept for the next Get. It never exceeds Size.
func (p *Pool) Buffers() int { return p.Stats().Buffers }

// Size is the number of idle buffers that are kept; 0 if pooling is off.
func (p *Pool) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// MaxBuffer is the size in bytes of the largest buffer that is kept; 0 if none is.
func (p *Pool) MaxBuffer() int {
	if top := int(p.top.Load()); top >= 0 {
		return sizeOf(top)
	}
	return 0
}
