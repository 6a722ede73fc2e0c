package deflate

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// MaxDict is how much of the last message is used as the dictionary of the next, in bytes.
const MaxDict = 2 << 10

// minProse is the shortest payload for which a flate.Writer is tried when small does not halve it.
const minProse = 200

// level is that of flate.Writer for payloads above maxSmall: docs/adr/0026 has the figures.
const level = 3

// Append appends the deflated payload to dst, without the four bytes that RFC 7692 §7.2.1 leaves out.
// dict is the plain payload of the last compressed message of this connection, nil if there is none
// or the receiver keeps no context; only its last MaxDict bytes are used. bits is the window that
// was agreed on, 8 to 15. Any goroutine may call it.
func Append(dst, payload, dict []byte, bits int) []byte {
	if len(payload) == 0 {
		return append(dst, 0) // §7.2.3.6
	}
	dict = dict[max(0, len(dict)-MaxDict):]
	bits = reach(payload, dict, bits)
	if len(payload) > maxSmall {
		return appendLarge(dst, payload, dict, bits)
	}
	out := appendSmall(dst, payload, dict, 1<<bits)
	if len(payload) < minProse || len(out)-len(dst) <= len(payload)/2 {
		return out
	}
	// It is prose that resembles nothing before it. Codes made for it are worth their time.
	n := len(out)
	if out = appendLarge(out, payload, dict, bits); len(out)-n < n-len(dst) {
		return append(dst, out[n:]...)
	}
	return out[:n]
}

// reach returns maxBits when nothing of dict and payload is out of the window, which then makes no
// difference, and else bits.
func reach(payload, dict []byte, bits int) int {
	if len(dict)+len(payload) <= 1<<bits {
		return maxBits
	}
	return bits
}

// writer lets a flate.Writer append to a slice.
type writer struct {
	flate *flate.Writer
	out   []byte
}

func (w *writer) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// writers are idle ones for each window. One holds 1.2 MB.
var writers [maxBits + 1]sync.Pool

func getWriter(bits int) *writer {
	if w, ok := writers[bits].Get().(*writer); ok {
		return w
	}
	w := new(writer)
	var err error
	if bits == maxBits {
		w.flate, err = flate.NewWriter(w, level)
	} else {
		w.flate, err = flate.NewWriterWindow(w, 1<<bits)
	}
	if err != nil {
		panic("agloop: window bits out of range") // of the caller: 8 to 15
	}
	return w
}

func appendLarge(dst, payload, dict []byte, bits int) []byte {
	w := getWriter(bits)
	w.out = dst
	if bits == maxBits {
		w.flate.ResetDict(w, dict)
	} else {
		w.flate.Reset(w) // a dictionary would move out of the window soon
	}
	// A writer that only appends has no errors.
	_, _ = w.flate.Write(payload)
	_ = w.flate.Flush()
	dst = w.out[:len(w.out)-len("\x00\x00\xff\xff")]
	w.out = nil
	w.flate.ResetDict(nil, nil) // which held on to the dictionary
	writers[bits].Put(w)
	return dst
}
