package eventpb_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/agloop/agloop/codec/eventpb/internal/pb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// judge is what the code generated from agui.proto reads in data, in protobuf's own form of JSON; nil
// when it reads nothing, or what that form does not have.
func judge(data []byte) []byte {
	var envelope pb.Event
	if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &envelope) != nil {
		return nil
	}
	text, err := protojson.Marshal(&envelope)
	if err != nil {
		return nil
	}
	var out bytes.Buffer
	if json.Compact(&out, text) != nil { // its white space is random
		return nil
	}
	return out.Bytes()
}

// The generated code knows every field of the reference's bytes, and what it writes is read alike.
func TestGeneratedCodeReadsTheSame(t *testing.T) {
	for _, c := range protobufData(t) {
		data := mustHex(t, c.Hex)
		var all, known pb.Event
		if err := proto.Unmarshal(data, &all); err != nil {
			t.Fatalf("%v on %s", err, c.Event)
		}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &known); err != nil || !proto.Equal(&all, &known) {
			t.Errorf("%v: fields of %s are unknown", err, c.Event)
		}
		again, err := proto.Marshal(&all)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := decoded(t, again)
		if want, _ := decoded(t, data); !sameJSON(t, text, want) {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
}
