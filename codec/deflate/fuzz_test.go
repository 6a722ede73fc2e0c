package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

// FuzzAccept: whatever is offered, what is accepted can be said, and our own client reads it the same.
func FuzzAccept(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits", true)
	f.Add("permessage-deflate; server_max_window_bits=\"1\\0\"; client_no_context_takeover\nx-a", false)
	f.Add("x-a; b=\"c,d\", permessage-deflate; server_max_window_bits=8", true)
	for _, bad := range badParameters {
		f.Add(extension+bad, true)
	}
	f.Fuzz(func(t *testing.T, fields string, takeover bool) {
		cfg := Config{Takeover: takeover}
		p, response := Accept(strings.Split(fields, "\n"), cfg)
		if p.On != (response != "") || !p.On && p != (Params{}) {
			t.Fatalf("%+v is said as %q", p, response)
		}
		if !p.On {
			return
		}
		if !takeover && !p.ClientNoTakeover {
			t.Fatal("the client may keep a context that it must not")
		}
		if got, err := Confirm([]string{response}, keep); got != p || err != nil {
			t.Fatalf("%+v is said as %q and read as %+v, %v", p, response, got, err)
		}
	})
}

// FuzzConfirm: an answer is refused, or says something that both sides can do.
func FuzzConfirm(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits=10; server_max_window_bits=12", true)
	f.Add("permessage-deflate; server_no_context_takeover", false)
	f.Add(", \t,\n", true)
	for _, bad := range badParameters {
		f.Add(extension+bad, true)
	}
	f.Fuzz(func(t *testing.T, fields string, takeover bool) {
		p, err := Confirm(strings.Split(fields, "\n"), Config{Takeover: takeover})
		switch {
		case err != nil || !p.On:
			if p != (Params{}) {
				t.Fatalf("%+v with %v", p, err)
			}
		case p.ServerBits < 8 || p.ServerBits > 15 || p.ClientBits < 8 || p.ClientBits > 15:
			t.Fatalf("%+v", p)
		case !takeover && !p.ServerNoTakeover:
			t.Fatal("the server may keep a context that it must not")
		case strings.Count(fields, extension) == 0:
			t.Fatalf("%q is an answer", fields)
		}
	})
}

// FuzzInflate: what another library reads to its end is read the same here, and nothing else is taken
// for a message. No more than the limit comes out, of whatever goes in.
func FuzzInflate(f *testing.F) {
	speech := tokens(2)
	f.Add(Append(nil, speech[1], speech[0], 15), speech[0], 1000)
	f.Add(Append(nil, snapshot(f, 2000), nil, 15), []byte{}, 3000)
	f.Add(Append(nil, snapshot(f, 2000), nil, 9), []byte{}, 1999)
	f.Add([]byte("\x00"), []byte{}, 0)
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"), []byte("Hello"), 100)
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x01"), []byte{}, 100)
	f.Fuzz(func(t *testing.T, p, before []byte, limit int) {
		limit = min(max(limit, 0), 1<<20)
		inflater := NewInflater(true)
		inflater.remember(before)
		got, err := inflater.Inflate(nil, p, limit)
		if len(got) > limit || len(inflater.window) > maxWindow {
			t.Fatalf("%d bytes, the limit is %d; the window has %d", len(got), limit, len(inflater.window))
		}

		in := bytes.NewReader(append(append([]byte(nil), p...), tail+last...))
		want, other := io.ReadAll(io.LimitReader(flate.NewReaderDict(in, before[max(0, len(before)-maxWindow):]), int64(limit)+1))
		switch {
		case len(p) == 0:
			if err != ErrEmpty {
				t.Fatalf("nothing gives %v", err)
			}
		case len(want) > limit:
			if err == nil {
				t.Fatalf("%d bytes come out with a limit of %d", len(want), limit)
			}
		case other != nil:
			if err == nil {
				t.Fatalf("%q comes out, elsewhere %v", got, other)
			}
		case in.Len() == 0:
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q, %v; elsewhere %q", got, err, want)
			}
		case err == nil && !bytes.HasPrefix(got, want): // there is a last block, behind which others do not look
			t.Fatalf("%q; elsewhere it begins with %q", got, want)
		}
	})
}

// FuzzAppend: what goes in comes out, for a receiver with just the agreed window.
func FuzzAppend(f *testing.F) {
	speech := tokens(2)
	f.Add(speech[1], speech[0], 15)
	f.Add(speech[1], speech[0], 8)
	f.Add(bytes.Repeat(speech[0], 6), []byte{}, 9)
	f.Add([]byte{}, speech[0], 10)
	f.Fuzz(func(t *testing.T, payload, before []byte, bits int) {
		bits = 8 + max(0, bits)%8
		receiver := &strict{window: 1 << bits, out: append([]byte(nil), before...)}
		p := Append(nil, payload, before, bits)
		if len(payload) <= maxSmall && len(p) > len(payload)+stored {
			t.Fatalf("%d bytes become %d", len(payload), len(p))
		}
		got, err := receiver.message(p)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
