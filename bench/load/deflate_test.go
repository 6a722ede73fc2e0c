//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// deflater is the sending half of permessage-deflate.
type deflater struct {
	takeover bool
	out      bytes.Buffer
	w        *flate.Writer
}

func newDeflater(takeover bool, level int) *deflater {
	d := &deflater{takeover: takeover}
	d.w, _ = flate.NewWriter(&d.out, level)
	return d
}

func (d *deflater) message(p []byte) []byte {
	d.out.Reset()
	if !d.takeover {
		d.w.Reset(&d.out)
	}
	d.w.Write(p)
	d.w.Flush()
	return bytes.TrimSuffix(bytes.Clone(d.out.Bytes()), []byte{0, 0, 0xff, 0xff})
}

func takerOf(t *testing.T, mode string) *inflater {
	t.Helper()
	d, err := newInflater(deflateOffers[mode], deflateOffers[mode])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Messages of all lengths come out as they went in, those among them after which the reader's window is full, as by a message that ends
// where the window does.
func TestInflate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, mode := range []string{takeover, noTakeover} {
		for _, level := range []int{1, 6, flate.HuffmanOnly} {
			t.Run(fmt.Sprintf("%s, level %d", mode, level), func(t *testing.T) {
				from, to := newDeflater(mode == takeover, level), takerOf(t, mode)
				var m inflating
				sent, ends := 0, 0
				for i := range 3000 {
					n := 1 + random.IntN(300)
					switch i % 100 {
					case 1:
						n = 100_000 + random.IntN(100_000)
					case 10, 20, 30:
						n = windowSize - sent%windowSize
					}
					want := filler(n)
					for range n / 20 {
						want[random.IntN(n)] = byte(random.Int())
					}
					sent += n
					if sent%windowSize == 0 {
						ends++
					}
					got, ok, err := to.take(frame{op: opText, fin: true, rsv1: true, payload: from.message(want)}, &m)
					if err != nil || !ok || got.op != opText || !bytes.Equal(got.payload, want) {
						t.Fatalf("message %d of %d bytes behind %d: %d bytes, %t, %v", i, n, sent-n, len(got.payload), ok, err)
					}
				}
				if ends < 90 {
					t.Errorf("only %d messages ended where the window does", ends)
				}
			})
		}
	}
}

func TestInflateFragments(t *testing.T) {
	from, to := newDeflater(true, 6), takerOf(t, takeover)
	var m inflating
	for i := range 20 {
		want := bytes.Repeat(fmt.Appendf(nil, "message %d ", i), 20)
		b := from.message(want)
		cut := i % len(b)
		if _, ok, err := to.take(frame{op: opText, rsv1: true, payload: b[:cut]}, &m); ok || err != nil {
			t.Fatalf("begin of message %d: %t, %v", i, ok, err)
		}
		if _, ok, err := to.take(frame{op: opContinuation, payload: b[cut:]}, &m); ok || err != nil {
			t.Fatalf("middle of message %d: %t, %v", i, ok, err)
		}
		got, ok, err := to.take(frame{op: opContinuation, fin: true}, &m)
		if err != nil || !ok || got.op != opText || !got.fin || !bytes.Equal(got.payload, want) {
			t.Fatalf("message %d: %q, %v", i, got.payload, err)
		}
		got, ok, err = to.take(frame{op: opBinary, fin: true, payload: want[:7]}, &m) // as it is
		if err != nil || !ok || got.op != opBinary || !bytes.Equal(got.payload, want[:7]) {
			t.Fatalf("plain message %d: %q, %v", i, got.payload, err)
		}
	}
}

func TestInflateFails(t *testing.T) {
	good := newDeflater(false, 6).message(bytes.Repeat([]byte("text "), 100))
	whole := frame{op: opText, fin: true, rsv1: true, payload: good}
	part := frame{op: opText, rsv1: true, payload: good[:5]}
	for name, tt := range map[string]struct {
		frames []frame
		want   error // nil for any
	}{
		"cut off":                 {[]frame{{op: opText, fin: true, rsv1: true, payload: good[:len(good)-5]}}, nil},
		"not deflate":             {[]frame{{op: opText, fin: true, rsv1: true, payload: []byte("\x07 what is this")}}, nil},
		"final block":             {[]frame{{op: opText, fin: true, rsv1: true, payload: []byte{3, 0}}}, errFinal},
		"message in message":      {[]frame{part, whole}, errUnfinished},
		"continuation of nothing": {[]frame{{op: opContinuation, fin: true}}, errUnfinished},
		"bit of a continuation":   {[]frame{part, {op: opContinuation, fin: true, rsv1: true}}, errUnfinished},
	} {
		d := takerOf(t, noTakeover)
		var m inflating
		var err error
		for _, f := range tt.frames {
			if _, _, err = d.take(f, &m); err != nil {
				break
			}
		}
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
}

func TestDeflateIsAgreedOn(t *testing.T) {
	for _, tt := range []struct {
		mode, answer string
		takeover     bool
		want         string // in the error
	}{
		{takeover, "permessage-deflate", true, ""},
		{takeover, "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", true, ""},
		{takeover, "permessage-deflate;server_no_context_takeover", false, ""},
		{noTakeover, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", false, ""},
		{noTakeover, "permessage-deflate", false, "does not give up"},
		{takeover, "", false, "agrees to"},
		{takeover, "permessage-bzip2", false, "agrees to"},
	} {
		d, err := newInflater(deflateOffers[tt.mode], tt.answer)
		check(t, err, tt.want)
		if err == nil && d.takeover != tt.takeover {
			t.Errorf("%s answered with %q: takeover %t", tt.mode, tt.answer, d.takeover)
		}
	}
	if got := extensions([]byte("Upgrade: websocket\r\nsec-websocket-extensions:  a; b \r\nX: y")); got != "a; b" {
		t.Errorf("extensions %q", got)
	}
	near, _ := parseTarget("ws://127.0.0.1:1/")
	near.offer(protocolV1, deflateOffers[takeover])
	for _, line := range []string{"Sec-WebSocket-Protocol: " + protocolV1, "Sec-WebSocket-Extensions: " + deflateOffers[takeover]} {
		if !strings.Contains(string(near.request), "\r\n"+line+"\r\n") || !bytes.HasSuffix(near.request, []byte("\r\n\r\n")) {
			t.Errorf("request %q", near.request)
		}
	}
}
