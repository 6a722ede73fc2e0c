package main

import (
	"fmt"
	"testing"

	"github.com/gorilla/websocket"
)

func TestFanout(t *testing.T) {
	for _, r := range rivals {
		if r.module == "" {
			continue // it speaks no WebSocket
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dial := dialGorilla
			if r.name == "gorilla" {
				dial = dialCoder
			}
			base := "ws://" + startRival(t, r.name, "--loops", "2")
			testFanout(t, base+fanoutPath, func(url string) peer { return dial(t, url) })

			// The other paths still echo, and hear nothing of it.
			p := dial(t, base+"/")
			if err := p.write(websocket.TextMessage, []byte("echo")); err != nil {
				t.Fatal(err)
			}
			expect(t, p, websocket.TextMessage, []byte("echo"))
		})
	}
}

// testFanout lets clients join one after the other and one of them publish: each must get, once and in this order, its
// own greeting, those of the clients after it, and what was published.
func testFanout(t *testing.T, url string, dial func(url string) peer) {
	const clients, messages = 20, 10
	greeting := func(i int) []byte { return fmt.Appendf(nil, "client %d", i) }
	var peers [clients]peer
	for i := range peers {
		peers[i] = dial(url)
		if err := peers[i].write(websocket.TextMessage, greeting(i)); err != nil {
			t.Fatal(err)
		}
		for k := range i + 1 { // all that are there: the next one greets when this greeting has come everywhere
			expect(t, peers[k], websocket.TextMessage, greeting(i))
		}
	}

	message := func(i int) (int, []byte) {
		return websocket.TextMessage + i%2, fmt.Appendf(nil, "message %d %x", i, make([]byte, i*i*50))
	}
	// One more, for without it a message that comes twice at the end would not show.
	for i := range messages + 1 {
		if err := peers[clients/2].write(message(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range peers {
		for i := range messages + 1 {
			op, want := message(i)
			expect(t, p, op, want)
		}
	}

	// Who has left is no longer written to, and nobody else notices.
	if err := peers[0].leave(); err != nil {
		t.Fatal(err)
	}
	if err := peers[1].write(websocket.BinaryMessage, []byte("without the first")); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers[1:] {
		expect(t, p, websocket.BinaryMessage, []byte("without the first"))
	}
}
