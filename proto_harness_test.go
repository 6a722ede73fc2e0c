package agloop_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/codec/frame"
)

// overProto has clients and peers of tests speak agloop.v1.proto, where they speak agloop.v1.
var overProto = flag.Bool("proto", false, "speak agloop.v1.proto instead of agloop.v1.json")

// wireProtocol is the subprotocol that tests speak.
func wireProtocol() string {
	if *overProto {
		return control.ProtocolProto
	}
	return control.Protocol
}

// wireOpcode is the opcode of its frames.
func wireOpcode() agloop.Opcode {
	if *overProto {
		return agloop.Binary
	}
	return agloop.Text
}

// wireOf is a frame that a test has as text, as it is on the wire. What is no event stays as it is.
func wireOf(text []byte) []byte {
	if !*overProto || control.IsControl(text) {
		return text
	}
	out, err := eventpb.AppendJSON(nil, text)
	if err != nil {
		return text
	}
	return out
}

// wireText is a frame of the wire as text.
func wireText(t testing.TB, payload []byte) []byte {
	t.Helper()
	if !*overProto || control.IsControl(payload) || bytes.HasPrefix(payload, []byte("{")) {
		return payload
	}
	var d eventpb.Decoder
	ev, _, err := d.DecodeEvent(payload)
	if err != nil {
		t.Fatalf("%v: %x", err, payload)
	}
	out, err := event.Append(nil, ev)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wireFrames are masked frames that a test has made for agloop.v1.json, as they are on the wire: text is
// binary, and binary, which is wrong there, is text.
func wireFrames(parts [][]byte) [][]byte {
	for _, rest := range parts {
		for *overProto && len(rest) > 2 {
			if op := frame.Opcode(rest[0] & 0xf); op == frame.Text || op == frame.Binary {
				rest[0] ^= byte(frame.Text) ^ byte(frame.Binary)
			}
			size := 2 + 4 + int(rest[1]&0x7f)
			switch {
			case rest[1]&0x7f == 126 && len(rest) > 4:
				size = 4 + 4 + int(binary.BigEndian.Uint16(rest[2:]))
			case rest[1]&0x7f == 127 && len(rest) > 10:
				size = 10 + 4 + int(binary.BigEndian.Uint64(rest[2:]))
			}
			rest = rest[min(size, len(rest)):]
		}
	}
	return parts
}
