package bufpool

// Stats is what a Pool has done so far and what it holds. Exact when nothing moves;
// while buffers move, the fields may be of slightly different instants.
type Stats struct {
	Gets     uint64 // buffers lent
	Misses   uint64 // of these, made new
	Discards uint64 // buffers left to the collector: too large, beyond Size, or trimmed

	InUse   int64 // bytes lent now, by capacity
	Idle    int64 // bytes kept for the next Get
	Buffers int   // buffers kept for the next Get
}

// Stats counts. It takes no part in lending, which goes on meanwhile; the cost is one
// load for every eight buffers kept.
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
	// Not negative: an idle buffer holds a slot, each slot was counted once, and while mu
	// is held no slot changes its buffer, and none of these buffers is discarded.
	s.InUse = p.bytesMade.Load() - s.Idle
	return s
}

// InUse is the number of bytes lent now, by capacity; never negative, exact when nothing
// moves.
func (p *Pool) InUse() int64 { return p.Stats().InUse }

// Idle is the number of bytes kept for the next Get; never negative, exact when nothing
// moves.
func (p *Pool) Idle() int64 { return p.Stats().Idle }

// Buffers is the number of buffers kept for the next Get. It never exceeds Size.
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
