package event

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
)

// ErrSerializerUnavailable says that no serializer of a type exists. It comes
// wrapped in an error that names the type.
var ErrSerializerUnavailable = errors.New("agloop: serializer unavailable")

// SerializerType says how events become bytes and back. The zero value is
// OptimizedJSON.
type SerializerType uint8

// The serializers. Peers cannot tell the first two apart: what they write has the
// same JSON value.
const (
	// OptimizedJSON writes events member by member and reads the frequent ones by
	// place; sonic decodes the rest. It is [Append] and [Decoder].
	OptimizedJSON SerializerType = iota
	// JSON writes and reads all events by encoding/json. It costs three to seven times as
	// much over all types, ten times and more on single ones, and is there to compare
	// with. What it refuses to write goes through [Append] as well, for the error.
	JSON
	// Protobuf is a name that configurations may hold. No serializer of it exists so
	// far: asking for one is [ErrSerializerUnavailable].
	Protobuf

	serializerTypes = iota
)

var serializerNames = [serializerTypes]string{"OptimizedJSON", "JSON", "Protobuf"}

// String returns the name of the constant, or the number of a type that has none.
func (t SerializerType) String() string {
	if t < serializerTypes {
		return serializerNames[t]
	}
	return "SerializerType(" + strconv.Itoa(int(t)) + ")"
}

// ParseSerializerType returns the type with the name s, whatever its case. That
// the name is known does not mean that there is a serializer. The error wraps
// [ErrSerializerUnavailable].
func ParseSerializerType(s string) (SerializerType, error) {
	for i, name := range serializerNames {
		if strings.EqualFold(s, name) {
			return SerializerType(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %.32q is none of %s", ErrSerializerUnavailable, s, strings.Join(serializerNames[:], ", "))
}

// Serializer turns the events of one stream into bytes and back. It keeps what the
// stream has shown so far: the ids minted for retired events. All serializers
// accept and refuse the same events of package agui, with equal errors. Two
// goroutines may not use one at once.
type Serializer interface {
	// AppendEvent appends ev to dst, with the guarantees of [Append]. The error
	// is a [*FieldError].
	AppendEvent(dst []byte, ev agui.Event) ([]byte, error)
	// DecodeEvent decodes one event, with the guarantees of [Decoder.DecodeEvent]:
	// data is borrowed, a dropped event is nil. The error is a [*FieldError].
	DecodeEvent(data []byte) (agui.Event, []Note, error)
	// Type returns the type of the serializer, which never changes.
	Type() SerializerType
}

// NewSerializer returns a serializer for a new stream. The error is
// [ErrSerializerUnavailable] and names t.
func NewSerializer(t SerializerType) (Serializer, error) {
	switch t {
	case OptimizedJSON:
		return new(optimizedSerializer), nil
	case JSON:
		return newJSONSerializer(), nil
	}
	return nil, fmt.Errorf("%w: %s", ErrSerializerUnavailable, t)
}

// Pooled is a serializer that goes from stream to stream, as all that NewSerializer
// returns are. A new one is lent.
type Pooled interface {
	Serializer
	// Lend begins a new stream.
	Lend()
	// TakeBack forgets the stream and everything it held. Until it is lent again nobody
	// may use it or take it back a second time; with the build tag aguidebug either panics.
	TakeBack()
}

// optimizedSerializer is the encoder and the decoder of this package, as one.
type optimizedSerializer struct {
	loan    serializerLoan
	decoder Decoder
}

func (*optimizedSerializer) Type() SerializerType { return OptimizedJSON }

func (s *optimizedSerializer) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	s.loan.check()
	return Append(dst, ev)
}

func (s *optimizedSerializer) DecodeEvent(data []byte) (agui.Event, []Note, error) {
	s.loan.check()
	return s.decoder.DecodeEvent(data)
}

func (s *optimizedSerializer) Lend() { s.loan.begin() }

func (s *optimizedSerializer) TakeBack() {
	s.loan.end()
	s.decoder = Decoder{}
}
