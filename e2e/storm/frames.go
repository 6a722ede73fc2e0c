package main

import (
	"bytes"
	"encoding/binary"
)

// frames reads along what a server sends: the head of its response, then frames, which no mask hides.
type frames struct {
	upgraded bool   // the response is through
	head     []byte // of the response or a frame, as far as it is through
	size     uint64 // of the payload under way
	left     uint64 // of that, what is to come
	text     bool   // the frame begins a text message
	events   int    // frames that have begun and are no control
}

// headEnd is behind the head of a response.
var headEnd = []byte("\r\n\r\n")

// scan reads bytes that go through.
func (f *frames) scan(b []byte) {
	for len(b) > 0 {
		if f.left == 0 || f.left == f.size {
			f.step(b[0])
			b = b[1:]
			continue
		}
		n := min(f.left, uint64(len(b)))
		f.left -= n
		b = b[n:]
	}
}

// cut reads bytes up to the middle of a frame and returns how many these are; ok is false when they go
// through without coming to one.
func (f *frames) cut(b []byte) (n int, ok bool) {
	for i, c := range b {
		if f.left > 0 && f.left <= (f.size+1)/2 && f.size > 1 {
			return i, true
		}
		f.step(c)
	}
	return len(b), false
}

// step reads one byte.
func (f *frames) step(c byte) {
	if f.left > 0 {
		if f.left == f.size && f.text && c == '{' {
			f.events++
		}
		f.left--
		return
	}
	f.head = append(f.head, c)
	if !f.upgraded {
		if f.upgraded = bytes.HasSuffix(f.head, headEnd); f.upgraded {
			f.head = f.head[:0]
		}
		return
	}
	if len(f.head) < 2 {
		return
	}
	long := 0 // bytes of the length
	switch n := f.head[1] & 0x7F; n {
	case 126:
		long = 2
	case 127:
		long = 8
	default:
		f.size = uint64(n)
	}
	if len(f.head) < 2+long {
		return
	}
	switch long {
	case 2:
		f.size = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 8:
		f.size = binary.BigEndian.Uint64(f.head[2:])
	}
	f.text = f.head[0]&0x0F == 1
	f.left = f.size
	f.head = f.head[:0]
}
