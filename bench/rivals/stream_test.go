package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

func TestStream(t *testing.T) {
	for _, rival := range []string{"gws", "gorilla", "coder"} {
		t.Run(rival, func(t *testing.T) {
			t.Parallel()
			p := dialCoder(t, "ws://"+startRival(t, rival)+streamPath)
			testStream(t, p)
			testFarewell(t, p)
		})
		t.Run(rival+" over TLS", func(t *testing.T) {
			t.Parallel()
			p := dialCoder(t, "wss://"+startRival(t, rival, "--tls")+streamPath)
			testStream(t, p)
			testFarewell(t, p)
		})
	}
}

// The server of Server-Sent Events says the same, for a POST.
func TestSSE(t *testing.T) {
	addr := startRival(t, "nethttp")
	testStream(t, &ssePeer{t: t, url: "http://" + addr + ssePath})
}

// ssePeer reads a response as a peer reads messages.
type ssePeer struct {
	t   *testing.T
	url string
	r   *bufio.Scanner
}

func (p *ssePeer) write(_ int, b []byte) error {
	res, err := http.Post(p.url, "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	p.t.Cleanup(func() { res.Body.Close() })
	p.r = bufio.NewScanner(res.Body)
	return nil
}

func (p *ssePeer) read() (int, []byte, error) {
	for p.r.Scan() {
		if data, ok := bytes.CutPrefix(p.r.Bytes(), []byte("data: ")); ok {
			return int(websocket.MessageText), data, nil
		}
	}
	return 0, nil, io.ErrUnexpectedEOF
}

// What is compressed says the same, in fewer bytes; with a context far fewer.
func TestDeflatedStream(t *testing.T) {
	for _, r := range rivals {
		for _, deflate := range r.deflates {
			t.Run(r.name+" "+deflate, func(t *testing.T) {
				t.Parallel()
				offer, most := "permessage-deflate; client_max_window_bits", 0.4
				if deflate == "none" {
					offer, most = "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 0.99
				}
				p := dialDeflate(t, startRival(t, r.name, "--deflate", deflate), offer)
				testStream(t, p)
				if share := float64(p.wire) / float64(p.plain); p.plain == 0 || share > most {
					t.Errorf("%d of %d bytes, which is %.2f; want at most %g", p.wire, p.plain, share, most)
				}
			})
		}
	}
}

func testStream(t *testing.T, p speaker) {
	const rate, burst, delta, seconds = 20, 3, 48, 1
	in := runInput{ThreadID: "thread", RunID: "run"}
	in.ForwardedProps.Rate, in.ForwardedProps.Burst = rate, burst
	in.ForwardedProps.Delta, in.ForwardedProps.Seconds = delta, seconds
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(int(websocket.MessageText), b); err != nil {
		t.Fatal(err)
	}

	next := func(kind string) (ev struct{ Type, ThreadID, RunID, MessageID, Delta string }) {
		t.Helper()
		op, b, err := p.read()
		if err != nil {
			t.Fatalf("waiting for %s: %v", kind, err)
		}
		if err := json.Unmarshal(b, &ev); err != nil || op != int(websocket.MessageText) {
			t.Fatalf("event %q of opcode %d: %v", b, op, err)
		}
		if ev.Type != kind {
			t.Fatalf("event %s, want %s", b, kind)
		}
		return ev
	}
	if ev := next("RUN_STARTED"); ev.ThreadID != "thread" || ev.RunID != "run" {
		t.Errorf("run began as %+v", ev)
	}
	message := next("TEXT_MESSAGE_START").MessageID
	if message == "" {
		t.Error("message without an id")
	}
	for range rate * burst * seconds {
		if ev := next("TEXT_MESSAGE_CONTENT"); ev.MessageID != message || len(ev.Delta) != delta {
			t.Fatalf("content %+v, want %d bytes for %s", ev, delta, message)
		}
	}
	if ev := next("TEXT_MESSAGE_END"); ev.MessageID != message {
		t.Errorf("end of another message: %+v", ev)
	}
	if ev := next("RUN_FINISHED"); ev.ThreadID != "thread" || ev.RunID != "run" {
		t.Errorf("run ended as %+v", ev)
	}
}

func testFarewell(t *testing.T, p peer) {
	if _, b, err := p.read(); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after the run comes %q, %v; want close 1000", b, err)
	}
}
