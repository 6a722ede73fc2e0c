package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What --deflate may be: whether a server may refer in a message to those before.
const (
	takeover   = "takeover"
	noTakeover = "none"
)

// deflateOffers are values of Sec-WebSocket-Extensions. That with takeover is what browsers send.
var deflateOffers = map[string]string{
	takeover:   "permessage-deflate; client_max_window_bits",
	noTakeover: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
}

// windowSize is how far deflate looks back.
const windowSize = 32 << 10

var (
	errUnfinished = errors.New("deflate: a message within a fragmented one")
	errFinal      = errors.New("deflate: a final block, which no server measured here has a reason to send")
)

// inflater is the receiving half of permessage-deflate on one connection (RFC 7692). With takeover it inflates all messages with one
// reader, whose window goes on.
type inflater struct {
	takeover bool

	reader io.ReadCloser
	src    bytes.Reader
	said   []byte // with takeover: the end of all messages, at least as long as the window
	total  int    // bytes since the reader's window was last set

	fragments bool // of a message whose end has not come
	op        byte
	deflated  bool
	parts     []byte
}

// inflating is memory that all connections share, for one message at a time.
type inflating struct {
	in, out []byte
}

// newInflater reads the server's answer to what was offered.
func newInflater(offered, answer string) (*inflater, error) {
	words := strings.Split(answer, ";")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	d := &inflater{takeover: !slices.Contains(words, "server_no_context_takeover")}
	switch {
	case words[0] != "permessage-deflate":
		return nil, fmt.Errorf("deflate: offered %q, the server agrees to %q", offered, answer)
	case offered == deflateOffers[noTakeover] && d.takeover:
		return nil, fmt.Errorf("deflate: the server does not give up its context: %q", answer)
	}
	return d, nil
}

// take adds a data frame and returns the message that ends with it, if one does. It is valid until the next.
func (d *inflater) take(f frame, m *inflating) (whole frame, ok bool, err error) {
	if d.fragments != (f.op == opContinuation) || (f.op == opContinuation && f.rsv1) {
		return whole, false, errUnfinished
	}
	if f.op != opContinuation {
		d.op, d.deflated, d.parts = f.op, f.rsv1, d.parts[:0]
	}
	if d.fragments = !f.fin; d.fragments || len(d.parts) > 0 {
		d.parts = append(d.parts, f.payload...)
		f.payload = d.parts
	}
	if d.fragments {
		return whole, false, nil
	}
	whole = frame{op: d.op, fin: true, payload: f.payload}
	if d.deflated {
		whole.payload, err = d.inflate(f.payload, m)
	}
	return whole, true, err
}

// inflate adds the four bytes that a sender takes off (§7.2.1). They are an empty block without compression, behind which the reader
// hands out all it has: so it need not see an end, and can go on with the next message.
func (d *inflater) inflate(p []byte, m *inflating) ([]byte, error) {
	m.in = append(append(m.in[:0], p...), 0, 0, 0xff, 0xff)
	d.src.Reset(m.in)
	switch {
	case d.reader == nil:
		d.reader = flate.NewReader(&d.src)
	case !d.takeover:
		d.reader.(flate.Resetter).Reset(&d.src, nil)
		d.total = 0
	}
	m.out = m.out[:0]
	for d.src.Len() > 0 {
		m.out = slices.Grow(m.out, windowSize) // which is the most that it hands out at once
		n, err := d.reader.Read(m.out[len(m.out):cap(m.out)])
		m.out = m.out[:len(m.out)+n]
		d.total += n
		switch {
		case err == nil:
		case err == io.EOF:
			return nil, errFinal
		case err == io.ErrUnexpectedEOF && d.total%windowSize == 0 && d.src.Len() == 0:
			// It had handed out all before the empty block, since its window was full, and has looked for more. That it has failed
			// cannot be undone, so it begins anew with the same window.
			d.remember(m.out)
			d.total = 0
			return m.out, d.reader.(flate.Resetter).Reset(&d.src, d.said[max(0, len(d.said)-windowSize):])
		default:
			return nil, fmt.Errorf("deflate: %w", err)
		}
	}
	d.remember(m.out)
	return m.out, nil
}

// remember keeps the end of what was said.
func (d *inflater) remember(p []byte) {
	if !d.takeover {
		return
	}
	if len(d.said)+len(p) > 2*windowSize {
		d.said = append(d.said[:0], d.said[max(0, len(d.said)-windowSize):]...)
	}
	d.said = append(d.said, p...)
}

// headerSize is that of a server's frame.
func headerSize(payload int) int {
	switch {
	case payload < 126:
		return 2
	case payload < 1<<16:
		return 4
	}
	return 10
}
