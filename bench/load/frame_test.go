package main

import (
	"bytes"
	"errors"
	"strconv"
	"testing"
)

func TestParseFrame(t *testing.T) {
	long := func(n int) string { return string(bytes.Repeat([]byte("x"), n)) }
	tests := []struct {
		name string
		in   string
		op   byte
		fin  bool
		size int
		n    int
		err  error
	}{
		{"nothing", "", 0, false, 0, 0, nil},
		{"half a header", "\x81", 0, false, 0, 0, nil},
		{"empty text", "\x81\x00", opText, true, 0, 2, nil},
		{"short text and more", "\x81\x02hi\x81", opText, true, 2, 4, nil},
		{"short text, cut", "\x81\x02h", opText, true, 0, 0, nil},
		{"first fragment", "\x02\x01h", opBinary, false, 1, 3, nil},
		{"125 bytes", "\x82\x7d" + long(125), opBinary, true, 125, 127, nil},
		{"126 bytes", "\x82\x7e\x00\x7e" + long(126), opBinary, true, 126, 130, nil},
		{"126 bytes, length cut", "\x82\x7e\x00", opBinary, true, 0, 0, nil},
		{"65535 bytes", "\x82\x7e\xff\xff" + long(65535), opBinary, true, 65535, 65539, nil},
		{"65536 bytes", "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + long(65536), opBinary, true, 65536, 65546, nil},
		{"65536 bytes, length cut", "\x82\x7f\x00\x00\x00\x00\x00\x01\x00", opBinary, true, 0, 0, nil},
		{"ping", "\x89\x01p", opPing, true, 1, 3, nil},
		{"close", "\x88\x02\x03\xe8", opClose, true, 2, 4, nil},

		{"masked", "\x81\x82\x00\x00\x00\x00hi", 0, false, 0, 0, errMasked},
		{"reserved bit", "\xa1\x00", 0, false, 0, 0, errReserved},
		{"reserved bit of a ping", "\xc9\x00", 0, false, 0, 0, errReserved},
		{"reserved data opcode", "\x83\x00", 0, false, 0, 0, errReserved},
		{"reserved control opcode", "\x8b\x00", 0, false, 0, 0, errReserved},
		{"fragmented ping", "\x09\x00", 0, false, 0, 0, errControl},
		{"long ping", "\x89\x7e\x00\x7e", 0, false, 0, 0, errControl},
		{"two bytes for 125", "\x82\x7e\x00\x7d", 0, false, 0, 0, errLength},
		{"eight bytes for 65535", "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 0, false, 0, 0, errLength},
		{"64-bit length", "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 0, false, 0, 0, errLength},
		{"2 MiB", "\x82\x7f\x00\x00\x00\x00\x00\x20\x00\x00", 0, false, 0, 0, errTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, n, err := parseFrame([]byte(tt.in))
			if !errors.Is(err, tt.err) || n != tt.n {
				t.Fatalf("took %d, error %v; want %d, %v", n, err, tt.n, tt.err)
			}
			if n > 0 && (f.op != tt.op || f.fin != tt.fin || len(f.payload) != tt.size) {
				t.Errorf("opcode %#x, fin %t, %d bytes; want %#x, %t, %d", f.op, f.fin, len(f.payload), tt.op, tt.fin, tt.size)
			}
		})
	}
}

// A frame must not be taken one byte early, whatever form its length has.
func TestParseFrameEveryCut(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			b := unmasked(t, appendMasked(nil, opText, make([]byte, size)))
			for cut := range len(b) {
				if cut > 20 && cut < len(b)-20 {
					continue
				}
				if _, n, err := parseFrame(b[:cut]); n != 0 || err != nil {
					t.Fatalf("%d of %d bytes: took %d, error %v", cut, len(b), n, err)
				}
			}
			if _, n, err := parseFrame(b); n != len(b) || err != nil {
				t.Errorf("whole: took %d of %d, error %v", n, len(b), err)
			}
		})
	}
}

func TestAppendMasked(t *testing.T) {
	payload := []byte("the mask is applied to each byte")
	b := unmasked(t, appendMasked([]byte("before"), opBinary, payload)[len("before"):])
	f, n, err := parseFrame(b)
	if err != nil || n != len(b) || f.op != opBinary || !f.fin {
		t.Fatalf("%+v, took %d, error %v", f, n, err)
	}
	if !bytes.Equal(f.payload, payload) {
		t.Errorf("payload %q", f.payload)
	}
}

// unmasked turns a client frame into the same frame of a server.
func unmasked(t *testing.T, b []byte) []byte {
	t.Helper()
	if b[1]&0x80 == 0 {
		t.Fatal("client frame without a mask")
	}
	head := 2
	switch b[1] & 0x7f {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	out := bytes.Clone(b[:head])
	out[1] &= 0x7f
	for i, c := range b[head+4:] {
		out = append(out, c^b[head+i&3])
	}
	return out
}
