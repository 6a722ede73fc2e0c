// Package metrics counts and measures what the loops do.
//
// Each loop writes a Counters and a LoopMetrics of its own, so counting never shares a
// cache line between loops; a reader adds them up. Reading stops nobody.
// MetricsCollector makes figures for people of them: rates, quantiles, memory and CPU.
package metrics

import "sync/atomic"

// Counters are the totals of one writer since its start. The writer is one
// loop or one accept goroutine; anybody may read.
type Counters struct {
	_ [64]byte // keep neighbours' counters off our cache line

	Opened      atomic.Uint64 // connections upgraded
	Closed      atomic.Uint64 // upgraded connections ended
	MessagesIn  atomic.Uint64 // whole data messages delivered to a handler
	BytesIn     atomic.Uint64 // bytes read, frame headers included
	FramesOut   atomic.Uint64 // frames handed to the kernel or its queue
	BytesOut    atomic.Uint64 // bytes of those frames, headers included
	Writes      atomic.Uint64 // write calls for them: FramesOut/Writes is the batch size
	WriterWakes atomic.Uint64 // times a loop's writer had to be woken
	Panics      atomic.Uint64 // panics recovered from callbacks
	SlowCuts    atomic.Uint64 // connections cut for reading too slowly
	Refused     atomic.Uint64 // connections answered 503
	AcceptErrs  atomic.Uint64 // accept calls that failed
	BadUpgrade  atomic.Uint64 // handshakes refused
	ProtoErrs   atomic.Uint64 // connections closed because the peer broke RFC 6455 or a limit

	_ [64]byte
}

// Snapshot is a sum of Counters, with the field meanings of Counters.
type Snapshot struct {
	Opened, Closed, MessagesIn, BytesIn, FramesOut, BytesOut, Writes, WriterWakes uint64
	Panics, SlowCuts, Refused, AcceptErrs, BadUpgrade, ProtoErrs                  uint64
}

// AddTo adds c's present values to s.
func (c *Counters) AddTo(s *Snapshot) {
	s.Opened += c.Opened.Load()
	s.Closed += c.Closed.Load()
	s.MessagesIn += c.MessagesIn.Load()
	s.BytesIn += c.BytesIn.Load()
	s.FramesOut += c.FramesOut.Load()
	s.BytesOut += c.BytesOut.Load()
	s.Writes += c.Writes.Load()
	s.WriterWakes += c.WriterWakes.Load()
	s.Panics += c.Panics.Load()
	s.SlowCuts += c.SlowCuts.Load()
	s.Refused += c.Refused.Load()
	s.AcceptErrs += c.AcceptErrs.Load()
	s.BadUpgrade += c.BadUpgrade.Load()
	s.ProtoErrs += c.ProtoErrs.Load()
}
