package eventpb_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// sample is an event as the reference encodes it, and what that decodes to.
type sample struct {
	Event   json.RawMessage
	Hex     string
	Decoded json.RawMessage
}

// protobufData are the sample events. Lines end at LF only: strings hold U+2028.
func protobufData(t testing.TB) (list []sample) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "protobuf.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}
