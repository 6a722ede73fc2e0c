package agloop

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/run"
)

// frameRoom is about how many bytes a frame has besides its event.
const frameRoom = 48

// appendFrame appends one event in the framing of a response.
func appendFrame(b *bufpool.Buffer, f *run.Frame, proto bool) *bufpool.Buffer {
	b = b.Grow(len(f.Event) + frameRoom)
	if proto {
		return appendProto(b, f)
	}
	return appendSSE(b, f)
}

// appendSSE appends one event as Server-Sent Events have it, with its place in the log as its id.
func appendSSE(b *bufpool.Buffer, f *run.Frame) *bufpool.Buffer {
	if f.Through >= f.First { // else it stands for none
		b.B = append(b.B, "id: "...)
		b.B = append(b.B, run.FormatEpoch(f.Epoch)...)
		b.B = append(b.B, '-')
		b.B = strconv.AppendUint(b.B, f.Through, 10)
		b.B = append(b.B, '\n')
	}
	b.B = append(b.B, "data: "...)
	if bytes.IndexByte(f.Event, '\n') >= 0 || bytes.IndexByte(f.Event, '\r') >= 0 { // in a value of the host's
		line := bytes.NewBuffer(make([]byte, 0, len(f.Event)))
		_ = json.Compact(line, f.Event) // an event is JSON
		b = b.Append(line.Bytes())
	} else {
		b = b.Append(f.Event)
	}
	return b.Append([]byte("\n\n"))
}

// protoHead is the length in front of an event in protobuf.
const protoHead = 4

// appendProto appends one event in protobuf, behind its length. An event that has no such form, which
// none of ours is without, is left out.
func appendProto(b *bufpool.Buffer, f *run.Frame) *bufpool.Buffer {
	at := len(b.B)
	out, err := eventpb.AppendJSON(append(b.B, 0, 0, 0, 0), f.Event)
	if err != nil {
		return b
	}
	binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-protoHead))
	if cap(out) == cap(b.B) { // in place
		b.B = out
		return b
	}
	return b.Append(out[at:])
}

// ssePing is a comment: proxies cut responses that are silent for long.
var ssePing = []byte(":\n\n")
