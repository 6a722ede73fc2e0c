package agloop

import (
	"time"

	"github.com/agloop/agloop/codec/event"
)

// SerializerType says how events become bytes and back.
type SerializerType = event.SerializerType

// The serializers.
const (
	OptimizedJSON = event.OptimizedJSON
	JSON          = event.JSON
	Protobuf      = event.Protobuf
)

// PerformanceConfig sets the performance system of one Server or Transport. Start from
// DefaultPerformanceConfig; the zero value as a whole means the default of where it stands. Every
// field can be changed while running, through PerformanceManager.SetConfig.
type PerformanceConfig struct {
	// MaxConcurrentConnections bounds the connections, by the descriptor limit of the process at
	// the most. Default 1000. A transport has as many as its config names.
	MaxConcurrentConnections int

	// MessageBatchSize and MessageBatchTimeout are the batch window, see Limits. Default 10
	// messages, 5 ms.
	MessageBatchSize    int
	MessageBatchTimeout time.Duration

	// BufferPoolSize is how many idle buffers the process keeps. Default 1000.
	BufferPoolSize int
	// MaxBufferSize is the largest buffer kept, in bytes. Default 64 KiB.
	MaxBufferSize int
	// EnableMemoryPooling keeps buffers at all. Default true.
	EnableMemoryPooling bool

	// EnableMetrics records latencies and computes rates. Without it the optimizer acts on memory
	// alone. Default true.
	EnableMetrics bool
	// MetricsInterval is the time over which rates are computed. Default 10 s.
	MetricsInterval time.Duration
	// EnableProfiling labels the goroutines of runs for pprof. Default false.
	EnableProfiling bool

	// MaxLatency is the p99 above which the optimizer moves toward latency. Default 50 ms.
	MaxLatency time.Duration
	// MaxMemoryUsage bounds what agloop holds for its connections, in bytes: never the host's own
	// heap. In and out together connections may hold a quarter of it; those that hold most are cut
	// beyond that. Default 80 MiB; 0 is the least of GOMEMLIMIT, the cgroup's limit and physical
	// memory, which bounds the process's live heap in any case.
	MaxMemoryUsage int64

	// MessageSerializerType encodes and decodes JSON events. Default OptimizedJSON. Protobuf is a
	// *ConfigError: the logs of a server are JSON, and what a connection speaks is agreed upon with
	// the client, see ClientConfig.Protocols.
	MessageSerializerType SerializerType
	// EnableZeroCopy delivers messages as slices of the read buffer, valid until the handler
	// returns; without it every message is a copy that may be kept. Default true.
	EnableZeroCopy bool
}

// DefaultPerformanceConfig returns the defaults named beside the fields.
func DefaultPerformanceConfig() PerformanceConfig {
	return PerformanceConfig{
		MaxConcurrentConnections: 1000,
		MessageBatchSize:         10,
		MessageBatchTimeout:      5 * time.Millisecond,
		BufferPoolSize:           1000,
		MaxBufferSize:            64 << 10,
		EnableMemoryPooling:      true,
		EnableMetrics:            true,
		MetricsInterval:          10 * time.Second,
		MaxLatency:               50 * time.Millisecond,
		MaxMemoryUsage:           80 << 20,
		MessageSerializerType:    OptimizedJSON,
		EnableZeroCopy:           true,
	}
}

// Validate returns a *ConfigError naming the first field that makes no sense.
func (c PerformanceConfig) Validate() error {
	bad := func(field, reason string) error {
		return &ConfigError{Field: "PerformanceConfig." + field, Reason: reason}
	}
	switch {
	case c.MaxConcurrentConnections < 1:
		return bad("MaxConcurrentConnections", "must be at least 1")
	case c.MessageBatchSize < 1:
		return bad("MessageBatchSize", "must be at least 1")
	case c.MessageBatchTimeout < 0 || c.MessageBatchTimeout > time.Second:
		return bad("MessageBatchTimeout", "must lie between 0 and 1s")
	case c.BufferPoolSize < 1:
		return bad("BufferPoolSize", "must be at least 1")
	case c.MaxBufferSize < 256:
		return bad("MaxBufferSize", "must be at least 256")
	case c.MetricsInterval < 100*time.Millisecond:
		return bad("MetricsInterval", "must be at least 100ms")
	case c.MaxLatency <= 0:
		return bad("MaxLatency", "must be positive")
	case c.MaxMemoryUsage < 0:
		return bad("MaxMemoryUsage", "must not be negative")
	}
	if err := (&SerializerFactory{textOnly: true}).SetType(c.MessageSerializerType); err != nil {
		return bad("MessageSerializerType", err.Error())
	}
	return nil
}
