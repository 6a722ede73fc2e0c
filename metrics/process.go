package metrics

import (
	runtimemetrics "runtime/metrics"
	"time"
)

// process reads what the Go runtime and the system say about this process, without stopping the
// world.
type process struct {
	samples [len(sampleNames)]runtimemetrics.Sample

	pausedCPU float64 // seconds, times the threads that were paused
	paused    time.Duration
}

const (
	sampleGCCount = iota
	sampleGCPause
	sampleGCCPU
	sampleAllCPU
	sampleGoroutines
	sampleThreads
	sampleHeap
	sampleStacks
)

var sampleNames = [...]string{
	sampleGCCount:    "/gc/cycles/total:gc-cycles",
	sampleGCPause:    "/cpu/classes/gc/pause:cpu-seconds",
	sampleGCCPU:      "/cpu/classes/gc/total:cpu-seconds",
	sampleAllCPU:     "/cpu/classes/total:cpu-seconds",
	sampleGoroutines: "/sched/goroutines:goroutines",
	sampleThreads:    "/sched/gomaxprocs:threads",
	sampleHeap:       "/memory/classes/heap/objects:bytes",
	sampleStacks:     "/memory/classes/heap/stacks:bytes",
}

func (p *process) init() {
	for i, name := range sampleNames {
		p.samples[i].Name = name
	}
}

// read fills in the figures of garbage collection and the system, except CPUUsage.
func (p *process) read(m *PerformanceMetrics) {
	runtimemetrics.Read(p.samples[:])
	count := func(i int) uint64 { return p.samples[i].Value.Uint64() }

	// The runtime reports the length of the pauses times the number of paused threads. That number
	// may change, so the growth since the last reading is divided by the number now.
	if cpu := p.samples[sampleGCPause].Value.Float64(); cpu > p.pausedCPU {
		p.paused += time.Duration((cpu - p.pausedCPU) / float64(count(sampleThreads)) * float64(time.Second))
		p.pausedCPU = cpu
	}
	m.GCPauseTotal = p.paused
	m.GCCount = count(sampleGCCount)
	m.GCCPUFraction = ratio(p.samples[sampleGCCPU].Value.Float64(), p.samples[sampleAllCPU].Value.Float64())
	m.Goroutines = int(count(sampleGoroutines))
	m.HeapSize = int64(count(sampleHeap))
	m.StackSize = int64(count(sampleStacks))
}
