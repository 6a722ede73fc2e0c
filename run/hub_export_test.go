package run

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"
)

// Sizes is how many runs, threads and lingering runs a hub has.
func (h *Hub) Sizes() (runs, threads, lingering int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.runs), len(h.threads), len(h.lingering)
}

// Held is how many bytes a hub's logs have.
func (h *Hub) Held() int64 { return h.held.Load() }

// HoldFolding keeps all logs from being folded, until what it returns is called.
func (h *Hub) HoldFolding() (goOn func()) {
	for range cap(h.folding) {
		h.folding <- struct{}{}
	}
	return func() {
		for range cap(h.folding) {
			<-h.folding
		}
	}
}

// Count goes through all logs of a hub and of its MemoryStore, if it has one. It returns how many bytes they hold, and of
// which runs that is another number than what is counted.
func (h *Hub) Count() (bytes int64, wrong []string) {
	h.mu.Lock()
	logs := slices.Collect(maps.Values(h.runs))
	for l := range h.lingering {
		if h.runs[l.info.RunKey] != l {
			logs = append(logs, l)
		}
	}
	h.mu.Unlock()
	for _, l := range logs {
		n, counted := l.log.countAll()
		if bytes += n; n != counted {
			wrong = append(wrong, fmt.Sprintf("%s holds %d, counted are %d", l.info.Run, n, counted))
		}
	}
	s, ok := h.cfg.Store.(*MemoryStore)
	if !ok {
		return bytes, wrong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sc := range s.scopes {
		bytes += int64(int(unsafe.Sizeof(*sc)) + len(sc.name) + scopeOverhead)
	}
	for k, l := range s.logs {
		n, counted := l.countAll()
		if bytes += n; n != counted {
			wrong = append(wrong, fmt.Sprintf("%s in the store holds %d, counted are %d", k.Run, n, counted))
		}
	}
	return bytes, wrong
}

func (l *liveLog) countAll() (bytes, counted int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return 0, int64(l.held)
	}
	bytes = int64(cap(l.newest)) * int64(unsafe.Sizeof([]byte{}))
	for i := range l.segments {
		bytes += int64(cap(l.segments[i].b))
	}
	switch {
	case !l.shared:
		bytes += entriesBytes(l.older) + slicesBytes(l.prelude)
	case l.folder == nil: // it has read the store into a list of its own
		bytes += int64(cap(l.older)) * int64(unsafe.Sizeof(Entry{}))
	}
	return bytes, int64(l.held)
}

func (l *memoryLog) countAll() (bytes, counted int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.record.Info.RunKey
	bytes = int64(unsafe.Sizeof(*l)) + recordBytes + int64(len(k.Scope)+len(k.Thread)+len(k.Run))
	for _, id := range l.record.Resumes {
		bytes += int64(unsafe.Sizeof(id)) + int64(len(id))
	}
	for _, b := range l.prelude {
		bytes += int64(unsafe.Sizeof(b))
	}
	return bytes + slicesBytes(l.prelude) + entriesBytes(l.folded) + entriesBytes(l.newest), int64(l.size)
}

func slicesBytes(list [][]byte) (n int64) {
	for _, b := range list {
		n += int64(cap(b))
	}
	return n
}

// entriesBytes counts of a small event its length: it lies in a segment that is as large as what is in it.
func entriesBytes(list []Entry) int64 {
	n := int64(cap(list)) * int64(unsafe.Sizeof(Entry{}))
	for _, e := range list {
		n += int64(4*cap(e.Pieces) + len(e.Event))
		if len(e.Event) > foldSegment {
			n += int64(cap(e.Event) - len(e.Event))
		}
	}
	return n
}
