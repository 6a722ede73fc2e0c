package agloop

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// serializerTypes is how many types have a name; the last constant is the largest.
const serializerTypes = Protobuf + 1

// SerializerFactory lends serializers, one to each stream, and takes them back for the next.
// Getting and putting allocate nothing once as many exist as are in use at a time; the collector
// frees idle ones. The zero value lends OptimizedJSON. All methods may be called from any
// goroutine. It must not be copied after first use.
type SerializerFactory struct {
	// Immutable; the zero value is the defaults.
	limits   event.Limits
	textOnly bool // of a server or a transport, which lends no Protobuf

	// Any goroutine, atomic
	current atomic.Uint32 // a SerializerType that there is a serializer of
	gets    atomic.Uint64
	news    atomic.Uint64

	// Any goroutine; a serializer in here belongs to nobody and has been reset
	idle [serializerTypes]sync.Pool
}

// NewSerializerFactory returns a factory that lends serializers of type t, with the default limits of
// events. The error is [ErrSerializerUnavailable] and names t.
func NewSerializerFactory(t SerializerType) (*SerializerFactory, error) {
	f := new(SerializerFactory)
	if err := f.SetType(t); err != nil {
		return nil, err
	}
	return f, nil
}

// Type returns the type that Get lends.
func (f *SerializerFactory) Type() SerializerType { return SerializerType(f.current.Load()) }

// SetType changes what Get lends from now on. Serializers already lent stay what they are: a stream
// is of one type from its first event to its last. The error is [ErrSerializerUnavailable], names
// t, and nothing has changed; that of a PerformanceManager lends no Protobuf, see
// PerformanceConfig.MessageSerializerType.
func (f *SerializerFactory) SetType(t SerializerType) error {
	if _, err := newSerializer(t, f.limits); err != nil {
		return err
	}
	if f.textOnly && t == Protobuf {
		return errTextOnly
	}
	f.current.Store(uint32(t))
	return nil
}

// errTextOnly is Protobuf asked for where events are JSON whatever a connection speaks.
var errTextOnly = fmt.Errorf("%w: Protobuf: logs and the bare wire are JSON; a client gets protobuf that names agloop.v1.proto in ClientConfig.Protocols", ErrSerializerUnavailable)

// newSerializer returns a new serializer, which is Pooled. The error is ErrSerializerUnavailable.
func newSerializer(t SerializerType, limits event.Limits) (event.Serializer, error) {
	if t == Protobuf {
		return eventpb.NewSerializer(limits), nil
	}
	return limits.NewSerializer(t)
}

// Get lends a serializer for a new stream, until Put.
func (f *SerializerFactory) Get() event.Serializer {
	f.gets.Add(1)
	t := f.Type()
	s, ok := f.idle[t].Get().(event.Pooled)
	if !ok {
		f.news.Add(1)
		made, _ := newSerializer(t, f.limits) // SetType has seen that there is one
		s = made.(event.Pooled)
	}
	s.Lend()
	return s
}

// Put takes s back when its stream is over, whatever the type lent now. Nobody may use s after that
// or put it a second time; with the build tag aguidebug either panics, as does putting what no
// factory lends, which otherwise is left to the collector.
func (f *SerializerFactory) Put(s event.Serializer) {
	own, ok := s.(event.Pooled)
	if !ok {
		serializerForeign(s)
		return
	}
	own.TakeBack()
	f.idle[own.Type()].Put(own)
}

// Gets returns how many serializers have been lent so far.
func (f *SerializerFactory) Gets() uint64 { return f.gets.Load() }

// News returns how many of them had to be made. The share that was reused is 1 - News/Gets.
func (f *SerializerFactory) News() uint64 { return f.news.Load() }
