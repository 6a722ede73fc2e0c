package deflate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// tokens are the events of a model that speaks: about 128 bytes, of which few are new.
func tokens(n int) [][]byte {
	words := []string{
		"the", "order", "was", "shipped", "yesterday", "and", "should", "arrive", "in", "Paris", "by", "Friday",
		"with", "your", "parcel", "number", "so", "please", "check", "this", "address", "—", "é", "📦",
	}
	events := make([][]byte, n)
	for i := range events {
		events[i] = fmt.Appendf(nil, `{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"msg-7f3a91c2-55d0-4c1e","delta":" %s"}`,
			1769904000123+31*i, words[7*i%len(words)])
	}
	return events
}

// events are one of each kind, as agui has them.
func events(tb testing.TB) [][]byte {
	data, err := os.ReadFile("../../agui/testdata/events.ndjson")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(data), []byte("\n"))
}

// snapshot is a MESSAGES_SNAPSHOT of size bytes; what is said in it is of our own pages.
func snapshot(tb testing.TB, size int) []byte {
	pages, err := filepath.Glob("../../docs/*/*.md")
	if err != nil || len(pages) == 0 {
		tb.Fatal(pages, err)
	}
	b := []byte(`{"type":"MESSAGES_SNAPSHOT","messages":[`)
	for n := 0; len(b) < size; n++ {
		text, err := os.ReadFile(pages[n%len(pages)])
		if err != nil {
			tb.Fatal(err)
		}
		for said := range bytes.SplitSeq(text, []byte("\n\n")) {
			b = fmt.Appendf(b, `{"id":"msg-%08x","role":%q,"content":%q},`, 7919*len(b), []string{"user", "assistant"}[len(said)%2], said)
		}
	}
	return b[:size]
}
