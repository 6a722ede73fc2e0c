package bufpool

import "math/bits"

// reclaim handles a released buffer that has no slot, or whose slot was revoked: it gets one if
// Size and MaxBuffer allow, and is discarded if not.
func (p *Pool) reclaim(b *Buffer) {
	c := int(b.class)
	if c == unpooled {
		p.discard(b)
		return
	}
	p.mu.Lock()
	if g := b.group; g != nil {
		bit := uint64(1) << b.slot
		g.buf[b.slot] = nil
		g.word.And(^(bit << revokedShift))
		p.freeSlots(g, bit)
		b.group = nil
	}
	if c > int(p.top.Load()) || !p.claimSlot(c) {
		p.mu.Unlock()
		p.discard(b)
		return
	}
	g, at := p.groupWithFreeSlot(c, b.shard)
	b.group, b.slot = g, uint8(bits.TrailingZeros8(^g.claimed))
	bit := uint64(1) << b.slot
	g.claimed |= uint8(bit)
	if g.claimed == filled {
		at.open.remove(g)
	}
	g.buf[b.slot] = b
	g.word.Or(bit) // from here b may be lent again
	p.mu.Unlock()
	at.hint.Store(g)
	p.noteIdle(c, g)
}

// claimSlot counts one more slot for class c. With none left it revokes a slot whose buffer is
// lent, because buffers that stay lent for long would otherwise have all slots. If no buffer is
// lent it discards an idle one of another class, because class c is what is used now. It reports
// false if Size buffers of class c are idle. Under mu.
func (p *Pool) claimSlot(c int) bool {
	if p.slotsLeft.Load() > 0 {
		p.slotsLeft.Add(-1)
		return true
	}
	if p.size == 0 {
		return false
	}
	for range p.groups {
		p.revokeNext = (p.revokeNext + 1) % len(p.groups)
		g := p.groups[p.revokeNext]
		for out := g.lent(); out != 0; out &= out - 1 {
			if g.revoke(out & -out) {
				return true
			}
		}
	}
	for range p.groups {
		p.revokeNext = (p.revokeNext + 1) % len(p.groups)
		g := p.groups[p.revokeNext]
		if idle := g.word.Load() & filled; int(g.class) != c && idle != 0 && p.discardIdle(g, idle&-idle) == 1 {
			p.slotsLeft.Add(-1)
			return true
		}
	}
	return false
}

// groupWithFreeSlot returns a group of class c and shard s with a free slot, and its cell. Under
// mu.
func (p *Pool) groupWithFreeSlot(c int, s uint32) (*group, *cell) {
	at := p.cell(c, s)
	if at.open.first == nil {
		k := &p.classes[c]
		g := k.vacant.first
		if g != nil {
			k.vacant.remove(g)
		} else {
			g = &group{next: k.groups.Load(), class: int32(c)}
			k.groups.Store(g)
			p.groups = append(p.groups, g)
			p.published.Store(new(p.groups))
		}
		g.shard.Store(s)
		at.open.add(g)
	}
	return at.open.first, at
}

// freeSlots frees the slots among mask of g. A group without a claimed slot may be used by any
// shard, so that there are never more groups than buffers that were kept at once. Under mu.
func (p *Pool) freeSlots(g *group, mask uint64) {
	at := p.cell(int(g.class), g.shard.Load())
	if g.claimed == filled {
		at.open.add(g)
	}
	if g.claimed &^= uint8(mask); g.claimed == 0 {
		at.open.remove(g)
		p.classes[g.class].vacant.add(g)
	}
}

// discardIdle discards the idle buffers among mask of g and returns their number. Under mu.
func (p *Pool) discardIdle(g *group, mask uint64) int {
	was := g.clearFilled(mask)
	if was == 0 {
		return 0
	}
	for rest := was; rest != 0; rest &= rest - 1 {
		b := g.emptySlot(rest & -rest)
		b.group = nil
		p.discard(b)
	}
	p.freeSlots(g, was)
	n := bits.OnesCount64(was)
	p.slotsLeft.Add(int64(n))
	return n
}

// revokeLent revokes at most n slots of g whose buffers are lent and returns their number. Under
// mu.
func (p *Pool) revokeLent(g *group, n int) int {
	done := 0
	for out := g.lent(); out != 0 && done < n; out &= out - 1 {
		if g.revoke(out & -out) {
			done++
		}
	}
	p.slotsLeft.Add(int64(done))
	return done
}

// Trim leaves all idle buffers to the garbage collector and returns their size in bytes.
func (p *Pool) Trim() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int64
	for _, g := range p.groups {
		n += int64(p.discardIdle(g, filled)) * int64(sizeOf(int(g.class)))
	}
	return n
}

// SetSize changes how many idle buffers are kept, with the meaning of Config.Size. It takes effect
// at once: idle buffers beyond it are left to the garbage collector before SetSize returns, and
// buffers that are lent now are kept on their return only as far as it allows.
func (p *Pool) SetSize(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := sizeFrom(n)
	p.slotsLeft.Add(int64(size - p.size))
	p.size = size
	// Slots of lent buffers are closed first, because that discards nothing.
	for _, g := range p.groups {
		if over := -p.slotsLeft.Load(); over > 0 {
			p.revokeLent(g, int(over))
		}
	}
	for _, g := range p.groups {
		for p.slotsLeft.Load() < 0 && p.closeSlot(g) {
			continue
		}
	}
}

// closeSlot closes one slot of g, whether its buffer is idle or lent, and reports whether there was
// one. Under mu.
func (p *Pool) closeSlot(g *group) bool {
	for {
		// Buffers are lent and released meanwhile; only the set of claimed slots cannot change.
		switch w := g.word.Load(); {
		case uint64(g.claimed)&^(w>>revokedShift) == 0:
			return false
		case w&filled != 0:
			if idle := w & filled; p.discardIdle(g, idle&-idle) == 1 {
				return true
			}
		case p.revokeLent(g, 1) == 1:
			return true
		}
	}
}

// SetMaxBuffer changes the size of the largest buffer that is kept, with the meaning of
// Config.MaxBuffer. It takes effect at once: larger idle buffers are left to the garbage collector
// before SetMaxBuffer returns, and larger lent ones when they are released.
func (p *Pool) SetMaxBuffer(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	top := topFrom(n)
	p.top.Store(int32(top))
	for _, g := range p.groups {
		for int(g.class) > top && p.closeSlot(g) {
			continue
		}
	}
}
