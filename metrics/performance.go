package metrics

import "time"

// PerformanceMetrics are the figures of an engine at one moment. It belongs to the caller that
// asked for it.
//
// Totals count from the start. The figures of memory and the system are those at the time At. Rates
// and distributions are those of a window, see MetricsCollector.
type PerformanceMetrics struct {
	At       time.Time
	Interval time.Duration // length of the window that rates are of

	// Connections.
	ActiveConnections          int
	TotalConnections           uint64  // upgraded since the start
	ConnectionsPerSecond       float64 // upgraded
	AvgConnectionEstablishTime time.Duration
	P95ConnectionEstablishTime time.Duration // from accept to upgraded

	// Messages. One that goes out is a frame.
	MessagesPerSecond    float64 // both ways
	MessagesInPerSecond  float64
	MessagesOutPerSecond float64
	BytesInPerSecond     float64 // frame headers included
	BytesOutPerSecond    float64
	AvgMessageSize       float64 // bytes, both ways, frame headers included
	Failures             Failures

	// Latency, from queueing a message to handing it to the kernel.
	AvgLatency time.Duration
	MinLatency time.Duration
	MaxLatency time.Duration
	P50Latency time.Duration
	P95Latency time.Duration
	P99Latency time.Duration

	// Batching.
	AvgBatchSize          float64 // frames of a write
	P50BatchSize          float64
	P95BatchSize          float64
	P50BatchWait          time.Duration // from queueing the first of a batch to its write
	P99BatchWait          time.Duration
	FramesPerWrite        float64 // from the counters, which also count without EnableMetrics
	WriterWakesPerMessage float64 // wakes of the loops' writer goroutines per message out

	// Memory.
	MemoryUsage           int64         // bytes, of the process
	MemoryPressure        float64       // percent: see memmon.Reading.Pressure
	MemoryHeld            int64         // bytes that connections hold in and out
	MemoryBudget          int64         // bytes that may be held; 0 when no limit is known
	MemoryTier            int           // 0 is normal, 4 critical: see memmon.Tier
	MonitoringInterval    time.Duration // between two readings of memory
	BufferPoolInUse       int64         // bytes lent
	BufferPoolIdle        int64         // bytes kept for lending
	BufferPoolUtilization float64       // bytes lent as a fraction of all bytes of the pool, 0 to 1

	// Garbage collection, since the start of the process.
	GCCount       uint64        // cycles
	GCPauseTotal  time.Duration // during which all goroutines were stopped
	GCCPUFraction float64       // of the CPU that Go could use, 0 to 1

	// System.
	CPUUsage   float64 // of the process in the window, as a fraction of the machine, 0 to 1
	Goroutines int
	HeapSize   int64 // bytes of objects, live and dead
	StackSize  int64 // bytes of stacks
}

// Failures are totals since the start, by kind.
type Failures struct {
	Panics         uint64 // recovered from callbacks
	SlowReaders    uint64 // connections cut for reading too slowly
	AcceptErrors   uint64 // accept calls that failed
	BadHandshakes  uint64 // handshakes that were no upgrade, or refused
	ProtocolErrors uint64 // connections closed because the peer broke the protocol or a limit
	Shed           uint64 // connections cut for the bytes they held
	Refused        Refusals
}

// Total is the sum of all kinds.
func (f *Failures) Total() uint64 {
	return f.Panics + f.SlowReaders + f.AcceptErrors + f.BadHandshakes + f.ProtocolErrors + f.Shed + f.Refused.Total()
}

// Refusals are totals since the start of what was turned away, by reason.
type Refusals struct {
	Slots       uint64 // connections: all slots were taken
	Memory      uint64 // connections: memory was short
	ConnQuota   uint64 // connections: the principal or the network had as many as it may
	Authorize   uint64 // connections: Authorize refused
	AddressRate uint64 // connections: too many a second from one address range
	MessageRate uint64 // messages: too many a second on one connection
	ByteRate    uint64 // messages: too many bytes a second on one connection
	ControlRate uint64 // control frames: too many a second on one connection
	RunRate     uint64 // runs: too many starts a second on one connection
	RunQuota    uint64 // runs: the server, the principal or the network had as many as it may
	Guesses     uint64 // connections: their network had asked too often for runs and sessions that are not there
}

// Total is the sum of all reasons.
func (r *Refusals) Total() uint64 {
	return r.Slots + r.Memory + r.ConnQuota + r.Authorize +
		r.AddressRate + r.MessageRate + r.ByteRate + r.ControlRate + r.RunRate + r.RunQuota + r.Guesses
}

// Source is the input of a MetricsCollector: the totals of an engine now. It takes 110 kB.
type Source struct {
	Snapshot Snapshot     // all loops and accept goroutines
	Loops    LoopSnapshot // all loops
	Refused  Refusals
	Shed     uint64 // connections cut for the bytes they held
	Runs     Runs
	RunTimes RunTimes
	Topics   Topics

	Connections int // open now

	MemoryUsage        int64         // bytes
	MemoryPressure     float64       // percent
	MemoryHeld         int64         // bytes
	MemoryBudget       int64         // bytes
	MemoryTier         int           // 0 is normal
	MonitoringInterval time.Duration // between two readings of memory
	PoolInUse          int64         // bytes lent by the buffer pool
	PoolIdle           int64         // bytes kept by it
}

// Reset empties s.
func (s *Source) Reset() {
	s.Loops.Reset()
	s.RunTimes.Reset()
	s.Snapshot, s.Refused, s.Shed, s.Connections = Snapshot{}, Refusals{}, 0, 0
	s.Runs, s.Topics = Runs{}, Topics{}
	s.MemoryHeld, s.MemoryBudget = 0, 0
	s.MemoryUsage, s.MemoryPressure, s.MemoryTier, s.MonitoringInterval = 0, 0, 0, 0
	s.PoolInUse, s.PoolIdle = 0, 0
}
