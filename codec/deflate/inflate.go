package deflate

const (
	maxWindow = 1 << maxBits
	// maxRatio and freeRatio: a message may become freeRatio bytes, or maxRatio times as large. DEFLATE
	// itself reaches 1,032.
	maxRatio  = 1000
	freeRatio = 64 << 10
	// maxUnmeasured is what a message may get in memory before its whole size is known.
	maxUnmeasured = 64 << 10
	// maxLast bounds the blocks of one message that say they are the last: to start anew after each
	// costs far more than its two bytes.
	maxLast = 64
)

// Inflater inflates the messages that one peer sends. Only one goroutine may use one with takeover at
// a time.
type Inflater struct {
	takeover bool
	window   []byte // the last bytes of the messages so far
}

// withoutTakeover has no state, so all share it.
var withoutTakeover Inflater

// NewInflater returns an Inflater. Without takeover it costs nothing, and any goroutine may use it;
// with takeover it holds as much as was received, up to a window of 32 KiB.
func NewInflater(takeover bool) *Inflater {
	if !takeover {
		return &withoutTakeover
	}
	return &Inflater{takeover: true}
}

// Memory is the capacity in bytes of the window that the Inflater holds.
func (f *Inflater) Memory() int { return cap(f.window) }

// Inflate appends the message whose deflated payload is p to dst. It stops with ErrTooBig above limit
// bytes, and with ErrRatio; ErrEmpty and ErrCorrupt say that p is no message. After an error the
// Inflater must not be used again.
//
// When dst has no room, it grows to 64 KiB on the way and then once to what the message needs, which
// is found out first: no message gets memory that it turns out to be too large for.
func (f *Inflater) Inflate(dst, p []byte, limit int) ([]byte, error) {
	if len(p) == 0 {
		return dst, ErrEmpty
	}
	m := message{p: p, window: f.window, bound: min(limit, max(freeRatio, maxRatio*len(p)))}
	d := getDecoder()
	defer d.release()
	out, err := d.inflate(dst, m)
	switch {
	case err == errBound && m.bound < limit:
		return dst, ErrRatio
	case err == errBound:
		return dst, ErrTooBig
	case err != nil:
		return dst, ErrCorrupt
	}
	if f.takeover {
		f.remember(out[len(dst):])
	}
	return out, nil
}

// remember puts a message into the window.
func (f *Inflater) remember(plain []byte) {
	plain = plain[max(0, len(plain)-maxWindow):]
	if keep := maxWindow - len(plain); len(f.window) > keep {
		f.window = f.window[:copy(f.window, f.window[len(f.window)-keep:])]
	}
	if need := len(f.window) + len(plain); need > cap(f.window) {
		f.window = append(make([]byte, 0, min(maxWindow, max(need, 2*cap(f.window)))), f.window...)
	}
	f.window = append(f.window, plain...)
}
