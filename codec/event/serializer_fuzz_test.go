package event_test

import (
	"encoding/json"
	"testing"
)

// Both serializers read whatever arrives alike, and write what they read alike.
func FuzzSerializers(f *testing.F) {
	for _, line := range dataLines(f, "events.ndjson") {
		f.Add(line)
	}
	for _, line := range dataLines(f, "invalid.ndjson") {
		var c struct{ Event json.RawMessage }
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Event))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pair := newSerializerPair(t)
		ev, err := pair.decode(t, data)
		if err != nil || ev == nil {
			return
		}
		if _, err := pair.encode(t, ev); err != nil {
			t.Fatalf("%v on encoding what was decoded from %q", err, data)
		}
	})
}
