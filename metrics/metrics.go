// Package metrics counts and measures what the loops do.
//
// Hosts may rely on its API, and on that of metrics/prom.
//
// Each loop has a Counters and a LoopMetrics of its own, so that loops do not share a cache line
// when they count; a reader adds them up. Reading takes no lock. MetricsCollector computes rates,
// quantiles, memory and CPU from them.
package metrics

import "sync/atomic"

// Counters are the totals of one loop, or of one accept goroutine, since its start. Those of a loop
// are written by the loop, by its writer goroutine, and by goroutines that send and then write
// themselves, so every field is atomic. Any goroutine may read.
type Counters struct {
	_ [64]byte // keeps other counters off this cache line

	Opened      atomic.Uint64 // connections upgraded
	Closed      atomic.Uint64 // upgraded connections ended
	MessagesIn  atomic.Uint64 // whole data messages delivered to a handler
	BytesIn     atomic.Uint64 // bytes read, frame headers included
	FramesOut   atomic.Uint64 // frames handed to the kernel or its queue
	BytesOut    atomic.Uint64 // bytes of those frames, headers included
	Writes      atomic.Uint64 // write calls for them: FramesOut/Writes is the batch size
	WriterWakes atomic.Uint64 // times that a loop's writer goroutine was woken
	Panics      atomic.Uint64 // panics recovered from callbacks
	SlowCuts    atomic.Uint64 // connections cut for reading too slowly
	Refused     atomic.Uint64 // connections answered 503
	AcceptErrs  atomic.Uint64 // accept calls that failed
	BadUpgrade  atomic.Uint64 // handshakes refused
	ProtoErrs   atomic.Uint64 // connections closed because the peer broke RFC 6455 or a limit
	ReadPauses  atomic.Uint64 // times that a connection was not read any more because its handler paused
	ReadResumes atomic.Uint64 // of those, the ones that are over

	_ [64]byte
}

// Snapshot is a sum of Counters, with the field meanings of Counters.
type Snapshot struct {
	Opened, Closed, MessagesIn, BytesIn, FramesOut, BytesOut, Writes, WriterWakes uint64
	Panics, SlowCuts, Refused, AcceptErrs, BadUpgrade, ProtoErrs                  uint64
	ReadPauses, ReadResumes                                                       uint64
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
	s.ReadPauses += c.ReadPauses.Load()
	s.ReadResumes += c.ReadResumes.Load()
}
