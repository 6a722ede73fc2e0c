package main

import (
	"encoding/binary"
	"errors"
)

// RFC 6455 opcodes.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

var (
	errMasked     = errors.New("frame: server frame is masked (RFC 6455 §5.1)")
	errReserved   = errors.New("frame: reserved bit or opcode (RFC 6455 §5.2)")
	errLength     = errors.New("frame: length not in its shortest form or over 63 bits (RFC 6455 §5.2)")
	errControl    = errors.New("frame: control frame fragmented or over 125 bytes (RFC 6455 §5.5)")
	errTooLarge   = errors.New("frame: larger than the read buffer")
	errFragmented = errors.New("frame: fragmented message, which no server measured here has a reason to send")
)

// readBuffer is the size of the one buffer that every read goes into. A frame must fit.
const readBuffer = 1 << 20

// frame is one frame from the server. payload points into the bytes parsed.
type frame struct {
	op      byte
	fin     bool
	rsv1    bool // compressed, where that was agreed on
	payload []byte
}

// parseFrame reads the first frame of b and returns its length in bytes. Zero bytes and no error
// mean that b ends inside the frame.
func parseFrame(b []byte) (f frame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	b0, b1 := b[0], b[1]
	if b1&0x80 != 0 {
		return f, 0, errMasked
	}
	f.op, f.fin, f.rsv1 = b0&0x0f, b0&0x80 != 0, b0&0x40 != 0
	if b0&0x30 != 0 || (f.rsv1 && f.op >= opClose) || f.op > opPong || (f.op > opBinary && f.op < opClose) {
		return f, 0, errReserved
	}
	if f.op >= opClose && (!f.fin || b1 > 125) {
		return f, 0, errControl
	}
	size, head := uint64(b1), 2
	switch b1 {
	case 126:
		if len(b) < 4 {
			return f, 0, nil
		}
		size, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
		if size < 126 {
			return f, 0, errLength
		}
	case 127:
		if len(b) < 10 {
			return f, 0, nil
		}
		size, head = binary.BigEndian.Uint64(b[2:]), 10
		if size < 1<<16 || size>>63 != 0 {
			return f, 0, errLength
		}
	}
	if size > readBuffer-16 {
		return f, 0, errTooLarge
	}
	n = head + int(size)
	if len(b) < n {
		return f, 0, nil
	}
	f.payload = b[head:n:n]
	return f, n, nil
}

// mask is fixed: the work of unmasking does not depend on the key, and frames can be built once.
var mask = [4]byte{0x1f, 0xa2, 0x5c, 0xe7}

// appendMasked appends one whole client frame to dst.
func appendMasked(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, mask[:]...)
	for i, c := range payload {
		dst = append(dst, c^mask[i&3])
	}
	return dst
}
