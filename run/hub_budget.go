package run

import (
	"slices"
	"time"
)

// grow counts bytes of logs, which may be negative. It is called under a log's lock.
func (h *Hub) grow(bytes int) {
	if bytes == 0 {
		return
	}
	h.cfg.Ledger.Add(0, bytes)
	if held := h.held.Add(int64(bytes)); bytes > 0 {
		h.keepToBound(held)
	}
}

// keepToBound has logs dropped when there are too many bytes of them.
func (h *Hub) keepToBound(held int64) {
	switch over := h.overBy(held); {
	case over <= 0:
		h.shedFrom.Store(0)
	case over > h.shedFrom.Load() && h.shedding.CompareAndSwap(false, true):
		go h.shed()
	}
}

// overBy is how many bytes of logs there are too many. Those that a MemoryStore keeps count as well.
func (h *Hub) overBy(held int64) int64 {
	most := h.cfg.LogBytes()
	if most <= 0 {
		return 0
	}
	if s, ok := h.cfg.Store.(*MemoryStore); ok {
		held += s.Held()
	}
	return held - most
}

// shedStep is by which part of the bound logs grow before shedding is tried again that was not enough.
const shedStep = 64

// shed drops logs until they keep to their bound: ended ones first, then what is older of the runs
// that are longest without a viewer. A run with a viewer keeps what it has.
func (h *Hub) shed() {
	defer func() {
		h.shedding.Store(false)
		h.keepToBound(h.held.Load()) // what has grown meanwhile has asked in vain
	}()
	for {
		over := h.overBy(h.held.Load())
		if over <= 0 {
			return
		}
		if !h.shedEnded(over) && !h.shedAlone() { // it cannot be helped, and is not tried for every event
			h.shedFrom.Store(over + h.cfg.LogBytes()/shedStep)
			return
		}
	}
}

// shedEnded drops ended logs of so many bytes, and reports whether there were any.
func (h *Hub) shedEnded(bytes int64) bool {
	s, ok := h.cfg.Store.(*MemoryStore)
	return ok && s.Shed(bytes) > 0
}

// shedAlone drops what is older of runs without a viewer, and reports whether there was anything.
func (h *Hub) shedAlone() (did bool) {
	alone := h.Live()
	since := make(map[*Live]time.Time, len(alone))
	alone = slices.DeleteFunc(alone, func(l *Live) bool {
		since[l] = l.aloneSince()
		return since[l].IsZero()
	})
	slices.SortFunc(alone, func(a, b *Live) int { return since[a].Compare(since[b]) })
	for _, l := range alone {
		if h.overBy(h.held.Load()) <= 0 {
			break
		}
		if l.log.drop() {
			h.counters.shed.Add(1)
			did = true
		}
	}
	return did
}
