package deflate

import (
	"bytes"
	"hash/maphash"
	"sync"
)

const (
	// maxEntries and maxCached bound what a Cache holds: messages, and bytes of them. Many viewers of
	// a run are sent the same event within milliseconds, so the latest are enough.
	maxEntries = 256
	maxCached  = 1 << 20
	// maxShared is the largest payload that is kept: a quarter of all.
	maxShared = maxCached / 4
	// entrySize is about what an entry costs besides its bytes.
	entrySize = 128
)

// Cache deflates messages, and remembers the latest so that each is deflated once for all
// connections that have the same predecessor. The zero value is ready. Any goroutine may use it.
type Cache struct {
	mu      sync.Mutex
	entries []entry // a ring; nil while there is nothing
	oldest  int
	count   int
	bytes   int
	heads   [maxEntries]int16 // by hash of the payload: 1 and the place of the newest entry; 0: none
}

// entry is one payload, deflated for one predecessor and window.
type entry struct {
	hash     uint64
	payload  []byte
	prev     *Sent
	bits     int
	deflated []byte // nil: to be sent plain
	sent     *Sent  // of this payload, whoever the predecessor was
	older    int16  // 1 and the place of the next one with the same head; 0: none
}

// Next deflates payload for a connection whose predecessor is prev, or finds that done. next is the
// predecessor of the connection's next message, when this one is sent as it is returned. The first has
// nil.
//
// deflated is nil when the message is to be sent plain, since deflating does not make it smaller. It
// then is not in the window of the receiver, and next knows that. Only a short message that others
// may come to resemble is deflated nevertheless; it is 6 bytes larger at most.
//
// For a peer that keeps no context prev is always nil, and a message whose deflated is not shorter
// than payload is better sent plain.
//
// deflated may be kept for as long as anybody likes, and must not be written to.
func (c *Cache) Next(prev *Sent, payload []byte, bits int) (deflated []byte, next *Sent) {
	bits = reach(payload, prev.dict(), bits)
	e, ok := entry{}, false
	hash := maphash.Bytes(seed, payload)
	if len(payload) <= maxShared {
		e, ok = c.find(hash, prev, payload, bits)
	}
	if !ok {
		// The lock is not held meanwhile: who comes second takes the entry of the first.
		e.hash, e.prev, e.bits = hash, prev, bits
		e.deflate(payload)
		if len(payload) <= maxShared {
			e = c.add(e)
		}
	}
	if e.deflated == nil {
		return nil, prev.afterMiss()
	}
	return e.deflated, e.sent
}

var seed = maphash.MakeSeed()

// find returns the entry. When there is none, the result has the payload and the Sent of another one
// with that payload, if there is one.
func (c *Cache) find(hash uint64, prev *Sent, payload []byte, bits int) (e entry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lookup(hash, prev, payload, bits)
}

func (c *Cache) lookup(hash uint64, prev *Sent, payload []byte, bits int) (e entry, ok bool) {
	for at := c.heads[hash%maxEntries]; at != 0; {
		have := &c.entries[at-1]
		if have.hash == hash && bytes.Equal(have.payload, payload) {
			if have.prev == prev && have.bits == bits {
				return *have, true
			}
			e.payload, e.sent = have.payload, have.sent
		}
		at = have.older
	}
	return e, false
}

// add puts e into the cache, unless another goroutine has been faster: then it returns that entry.
func (c *Cache) add(e entry) entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	have, ok := c.lookup(e.hash, e.prev, e.payload, e.bits)
	if ok {
		return have
	}
	if have.sent != nil {
		e.payload, e.sent = have.payload, have.sent
	}
	if c.entries == nil {
		c.entries = make([]entry, maxEntries)
	}
	for c.count == maxEntries || c.count > 0 && c.bytes+e.size() > maxCached {
		c.drop()
	}
	at := (c.oldest + c.count) % maxEntries
	head := &c.heads[e.hash%maxEntries]
	e.older = *head
	*head = int16(at + 1)
	c.entries[at] = e
	c.count++
	c.bytes += e.size()
	return e
}

// size counts the payload for each entry that has it.
func (e *entry) size() int { return entrySize + len(e.payload) + len(e.deflated) }

// drop forgets the oldest entry.
func (c *Cache) drop() {
	e := &c.entries[c.oldest]
	link := &c.heads[e.hash%maxEntries]
	for *link != int16(c.oldest+1) {
		link = &c.entries[*link-1].older
	}
	*link = e.older
	c.bytes -= e.size()
	*e = entry{}
	c.oldest = (c.oldest + 1) % maxEntries
	c.count--
}

// Reset forgets all. What was returned stays valid, and what is deflated next costs as if it were
// the first.
func (c *Cache) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.heads = nil, [maxEntries]int16{}
	c.oldest, c.count, c.bytes = 0, 0, 0
}

// Memory is about what the cache holds, in bytes.
func (c *Cache) Memory() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes + (len(c.entries)-c.count)*entrySize
}
