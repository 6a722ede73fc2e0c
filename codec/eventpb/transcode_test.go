package eventpb_test

import (
	"encoding/hex"
	"testing"

	"github.com/agloop/agloop/codec/eventpb"
)

// The bytes are those of the reference, where a wire has one way to say it.
func TestAppendJSONWritesTheBytesOfTheReference(t *testing.T) {
	for _, c := range protobufData(t) {
		got, err := eventpb.AppendJSON(nil, c.Event)
		if err != nil {
			t.Errorf("%v on %s", err, c.Event)
			continue
		}
		if h := hex.EncodeToString(got); h != c.Hex {
			t.Errorf("%s\n got %s\nwant %s", c.Event, h, c.Hex)
		}
	}
}
