package eventpb

import (
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// Serializer is the encoder and the decoder of this package as one: an [event.Serializer], and
// [event.Pooled]. A new one is lent.
type Serializer struct {
	loan    event.Loan
	decoder Decoder
}

// NewSerializer returns a serializer for a new stream, within limits.
func NewSerializer(limits event.Limits) *Serializer {
	return &Serializer{decoder: Decoder{Limits: limits}}
}

// Type returns [event.Protobuf].
func (*Serializer) Type() event.SerializerType { return event.Protobuf }

// AppendEvent is [Append].
func (s *Serializer) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	s.loan.Check()
	return appendWithin(dst, ev, s.decoder.Limits)
}

// DecodeEvent is [Decoder.DecodeEvent].
func (s *Serializer) DecodeEvent(data []byte) (agui.Event, []event.Note, error) {
	s.loan.Check()
	return s.decoder.DecodeEvent(data)
}

// Lend begins a new stream.
func (s *Serializer) Lend() { s.loan.Begin() }

// TakeBack ends the stream and drops all its state.
func (s *Serializer) TakeBack() {
	s.loan.End()
	s.decoder = Decoder{Limits: s.decoder.Limits}
}
