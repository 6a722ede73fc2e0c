package testkit

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"
)

// Inflater inflates messages as a peer does that keeps its context (RFC 7692 §7.2.2), or not.
type Inflater struct {
	NoContext bool

	window []byte
}

// Inflate returns the message whose deflated payload is p.
func (f *Inflater) Inflate(t testing.TB, p []byte) []byte {
	t.Helper()
	const tail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff" // what §7.2.1 leaves out, and a last block
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(p), bytes.NewReader([]byte(tail))), f.window)
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("inflating %d bytes: %v", len(p), err)
	}
	if !f.NoContext {
		f.window = append(f.window, plain...)
		f.window = f.window[max(0, len(f.window)-32<<10):]
	}
	return plain
}

// Deflate is the deflated payload of a message, by itself.
func Deflate(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, _ = w.Write(plain)
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:b.Len()-4]
}
