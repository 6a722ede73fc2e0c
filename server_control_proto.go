package agloop

import (
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/run"
)

// offer offers an event of a log to the connection, in the encoding that this speaks. Under the log's
// lock.
func (s *controlSession) offer(a *attachment, f *run.Frame) SendResult {
	if !s.proto {
		return s.conn.Offer(&s.selection, a, f.Alone(), f.Event, f.Terminal)
	}
	if s.conn.Full() { // it would say so of any event, and be asked again
		return Backpressure
	}
	buf := bufpool.Get(len(f.Event))
	defer buf.Release()
	return s.conn.Offer(&s.selection, a, f.Alone(), protoEvent(buf.B, f.Event, s.srv.cfg.Limits.MaxEvent), f.Terminal)
}

// protoEvent is the message of agloop.v1.proto for an event of a log: protobuf, appended to dst, or the
// event as it is, where protobuf would have more than most bytes, or would lose half of a character
// that the delta begins or ends with.
func protoEvent(dst, json []byte, most int) []byte {
	if low, high := event.DeltaHalves(json); low != 0 || high != 0 {
		return json
	}
	out, err := eventpb.AppendJSON(dst, json)
	if err != nil || len(out) > most {
		return json
	}
	return out
}
