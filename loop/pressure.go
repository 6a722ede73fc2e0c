package loop

import (
	"math/bits"

	"github.com/agloop/agloop/codec"
)

// SetShedding makes the door answer new connections with 503 while memory is short.
// Any goroutine.
func (d *Door) SetShedding(on bool) { d.shedding.Store(on) }

// minShed is the least outbox worth a connection, in bytes: cutting one frees about
// that much.
const minShed = 16 << 10

// CutLargest cuts the connections for which most bytes wait, with 1013: those of the
// largest power of two, at most perLoop on each loop, and none with less than 16 KiB. It returns
// how many were chosen. Any goroutine but a loop.
func (d *Door) CutLargest(perLoop int) int {
	var buckets [bits.UintSize + 1][]*Conn
	top := 0
	d.slots.Each(func(c *Conn) {
		n := c.Buffered()
		if n < minShed {
			return
		}
		b := bits.Len(uint(n))
		buckets[b] = append(buckets[b], c)
		top = max(top, b)
	})
	chosen := 0
	onLoop := map[*Loop]int{}
	for _, c := range buckets[top] {
		if onLoop[c.loop] < perLoop && c.cutOff(codec.CloseTryLater) {
			onLoop[c.loop]++
			chosen++
		}
	}
	return chosen
}

// cutOff asks the loop to cut c at once. False means that it is closing anyway.
func (c *Conn) cutOff(code codec.CloseCode) bool {
	c.mu.Lock()
	if c.flags&isClosing != 0 {
		c.mu.Unlock()
		return false
	}
	act, at := c.markCut(code)
	c.mu.Unlock()
	c.perform(act, at, urgent)
	return true
}

// markCut notes that c is to be cut. Under mu.
func (c *Conn) markCut(code codec.CloseCode) (action, int64) {
	c.flags |= isClosing | isCut
	c.code = code
	return c.schedule(urgent)
}

// Refusals are connections and messages turned away, by reason.
type Refusals struct {
	Full     uint64 // no slot: 503
	Pressure uint64 // memory is short: 503
	Network  uint64 // too many from one network: 429
	Rate     uint64 // connections closed for sending too much: 1008
	Shed     uint64 // connections cut for the memory of their outbox: 1013
}

// Refusals reads the counts. Any goroutine.
func (d *Door) Refusals() Refusals {
	return Refusals{
		Full: d.full.Load(), Pressure: d.pressure.Load(), Network: d.network.Load(),
		Rate: d.overRate.Load(), Shed: d.shed.Load(),
	}
}
