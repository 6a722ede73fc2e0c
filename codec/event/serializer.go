package event

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
)

// ErrSerializerUnavailable means that there is no serializer of a type. It is wrapped in an error
// that names the type.
var ErrSerializerUnavailable = errors.New("agloop: serializer unavailable")

// SerializerType is a way to encode and decode events. The zero value is OptimizedJSON.
type SerializerType uint8

// The serializers. The first two write the same JSON values, so a peer need not know which is used.
const (
	// OptimizedJSON is [Append] and [Decoder]: it writes events member by member, builds the
	// frequent ones from the places of their members, and decodes the others by sonic.
	OptimizedJSON SerializerType = iota
	// JSON writes and reads all events by encoding/json, for comparison. It costs three to seven
	// times as much over all types, and ten times and more for some. An event that it refuses to
	// write also goes through [Append], for the error.
	JSON
	// Protobuf is the protobuf encoding of package eventpb, which makes its serializer. Of
	// NewSerializer, which is below that package, it is [ErrSerializerUnavailable].
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

// ParseSerializerType returns the type with the name s, in any case of letters. There need not be a
// serializer of that type. The error wraps [ErrSerializerUnavailable].
func ParseSerializerType(s string) (SerializerType, error) {
	for i, name := range serializerNames {
		if strings.EqualFold(s, name) {
			return SerializerType(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %.32q is none of %s", ErrSerializerUnavailable, s, strings.Join(serializerNames[:], ", "))
}

// Serializer encodes and decodes the events of one stream. It keeps the ids that it has made for
// retired events of the stream. All serializers accept and refuse the same events of package agui,
// with equal errors. Only one goroutine may use a Serializer at a time.
type Serializer interface {
	// AppendEvent appends ev to dst, with the guarantees of [Append]. The error is a [*FieldError].
	AppendEvent(dst []byte, ev agui.Event) ([]byte, error)
	// DecodeEvent decodes one event, with the guarantees of [Decoder.DecodeEvent]: data is
	// borrowed, a dropped event is nil. The error is a [*FieldError].
	DecodeEvent(data []byte) (agui.Event, []Note, error)
	// Type returns the type of the serializer, which never changes.
	Type() SerializerType
}

// NewSerializer returns a serializer of JSON for a new stream. The error is
// [ErrSerializerUnavailable] and names t.
func NewSerializer(t SerializerType) (Serializer, error) { return newSerializer(t, Limits{}) }

func newSerializer(t SerializerType, limits Limits) (Serializer, error) {
	switch t {
	case OptimizedJSON:
		return &optimizedSerializer{decoder: Decoder{Limits: limits}}, nil
	case JSON:
		return &jsonSerializer{decoder: Decoder{Limits: limits}}, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrSerializerUnavailable, t)
}

// Pooled is a serializer that can be reused for another stream. All that NewSerializer returns are.
// A new one is lent.
type Pooled interface {
	Serializer
	// Lend begins a new stream.
	Lend()
	// TakeBack ends the stream and drops all its state. Until the next Lend nobody may use the
	// serializer or call TakeBack again; with the build tag aguidebug either panics.
	TakeBack()
}

// optimizedSerializer is the encoder and the decoder of this package, as one.
type optimizedSerializer struct {
	loan    Loan
	decoder Decoder
}

func (*optimizedSerializer) Type() SerializerType { return OptimizedJSON }

func (s *optimizedSerializer) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	s.loan.Check()
	return appendEvent(dst, ev, s.decoder.Limits)
}

func (s *optimizedSerializer) DecodeEvent(data []byte) (agui.Event, []Note, error) {
	s.loan.Check()
	return s.decoder.DecodeEvent(data)
}

func (s *optimizedSerializer) Lend() { s.loan.Begin() }

func (s *optimizedSerializer) TakeBack() {
	s.loan.End()
	s.decoder = Decoder{Limits: s.decoder.Limits}
}
