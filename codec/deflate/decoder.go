package deflate

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// message is one that is inflated.
type message struct {
	p      []byte
	window []byte // what the peer may point into
	bound  int    // bytes that it may become
}

// errBound: the message becomes larger than its bound.
var errBound = errors.New("bound")

// decoder is what inflating one message takes, some 45 KB. It is borrowed for the message.
type decoder struct {
	flate  flateReader
	in     *bufio.Reader
	source source

	message
	dst  []byte
	base int  // where the message begins in dst
	size int  // bytes of the message so far
	dry  bool // they are only counted
}

type flateReader interface {
	io.WriterTo
	flate.Resetter
}

var decoders = sync.Pool{New: func() any {
	d := new(decoder)
	d.in = bufio.NewReader(&d.source)
	d.flate = flate.NewReader(d.in).(flateReader)
	return d
}}

func getDecoder() *decoder { return decoders.Get().(*decoder) }

func (d *decoder) release() {
	d.source, d.message, d.dst = source{}, message{}, nil
	decoders.Put(d)
}

// inflate appends m to dst.
func (d *decoder) inflate(dst []byte, m message) ([]byte, error) {
	d.dst, d.base, d.dry = dst, len(dst), false
	err := d.run(m)
	return d.dst, err
}

// measure returns how many bytes m becomes.
func measure(m message) (int, error) {
	d := getDecoder()
	defer d.release()
	d.dry = true
	err := d.run(m)
	return d.size, err
}

// zeros stands for a window of which only the size matters.
var zeros [maxWindow]byte

// run inflates the blocks of m. A block that says it is the last ends a DEFLATE stream, but not the
// message: the next stream begins at the next byte (RFC 7692 §7.2.1 and §7.2.3.4).
func (d *decoder) run(m message) error {
	d.message, d.size = m, 0
	d.source = source{p: m.p}
	d.in.Reset(&d.source)
	window := m.window
	for range maxLast {
		_ = d.flate.Reset(d.in, window) // it has no errors
		if _, err := d.flate.WriteTo(d); err != nil {
			return err
		}
		switch left := d.source.left() + d.in.Buffered(); {
		case left > len(tail)+len(last):
			window = d.soFar()
		case left == 0, left == len(last), left == len(tail)+len(last):
			// All was read; or the peer's own last block ended with the message, or is the stored one
			// whose end the tail is.
			return nil
		default:
			return ErrCorrupt // a block has taken a part of them for its own
		}
	}
	return ErrCorrupt
}

// soFar is the window in the middle of a message.
func (d *decoder) soFar() []byte {
	if d.dry {
		return zeros[:]
	}
	plain := d.dst[d.base:]
	if len(plain) >= maxWindow {
		return plain[len(plain)-maxWindow:]
	}
	before := d.window
	before = before[max(0, len(before)+len(plain)-maxWindow):]
	return append(append(make([]byte, 0, len(before)+len(plain)), before...), plain...)
}

// Write takes inflated bytes.
func (d *decoder) Write(plain []byte) (int, error) {
	if len(plain) > d.bound-d.size {
		return 0, errBound
	}
	d.size += len(plain)
	if d.dry {
		return len(plain), nil
	}
	if err := d.grow(len(d.dst) + len(plain)); err != nil {
		return 0, err
	}
	d.dst = append(d.dst, plain...)
	return len(plain), nil
}

// grow makes room in dst for need bytes.
func (d *decoder) grow(need int) error {
	if need <= cap(d.dst) {
		return nil
	}
	room := min(max(need, 2*cap(d.dst)), d.base+min(maxUnmeasured, d.bound))
	if room < need {
		size, err := measure(d.message)
		if err != nil {
			return err
		}
		room = d.base + size
	}
	d.dst = append(make([]byte, 0, room), d.dst...)
	return nil
}

// What is read behind a message: the four bytes that its sender has left out (RFC 7692 §7.2.2), and a
// last block, so that the end of the message is the end of a stream.
const (
	tail = "\x00\x00\xff\xff"
	last = "\x01\x00\x00\xff\xff"
)

// source reads a message and what belongs behind it.
type source struct {
	p  []byte
	at int
}

func (s *source) left() int { return len(s.p) + len(tail) + len(last) - s.at }

func (s *source) Read(b []byte) (n int, err error) {
	if s.left() == 0 {
		return 0, io.ErrUnexpectedEOF // flate takes EOF for a good end in places where it is none
	}
	if s.at < len(s.p) {
		n = copy(b, s.p[s.at:])
		s.at += n
	}
	if s.at >= len(s.p) {
		behind := copy(b[n:], (tail + last)[s.at-len(s.p):])
		s.at += behind
		n += behind
	}
	return n, nil
}
