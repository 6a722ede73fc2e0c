package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// deflatePeer is a client that inflates with the window of all compressed messages before, as RFC 7692 has it, and counts bytes.
type deflatePeer struct {
	peer // has no other methods
	c    net.Conn
	in   io.Reader
	none bool // each message has a window of its own
	said []byte

	wire, plain int
}

func dialDeflate(t *testing.T, addr, offer string) *deflatePeer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: %s\r\n\r\n", streamPath, addr, offer)
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	agreed := answer.Header.Get("Sec-WebSocket-Extensions")
	if answer.StatusCode != http.StatusSwitchingProtocols || !strings.HasPrefix(agreed, "permessage-deflate") {
		t.Fatalf("status %s, the server agreed to %q", answer.Status, agreed)
	}
	return &deflatePeer{c: c, in: in, none: strings.Contains(agreed, "server_no_context_takeover")}
}

func (p *deflatePeer) write(op int, b []byte) error {
	return wsutil.WriteClientMessage(p.c, ws.OpCode(op), b)
}

func (p *deflatePeer) read() (int, []byte, error) {
	var deflated []byte
	var op ws.OpCode
	var compressed bool
	for fin := false; !fin; {
		h, err := ws.ReadHeader(p.in)
		if err != nil {
			return 0, nil, err
		}
		if h.OpCode != ws.OpContinuation {
			op, compressed = h.OpCode, h.Rsv1()
		}
		b := make([]byte, h.Length)
		if _, err := io.ReadFull(p.in, b); err != nil {
			return 0, nil, err
		}
		deflated, fin = append(deflated, b...), h.Fin
	}
	p.wire += len(deflated)
	if !compressed {
		p.plain += len(deflated)
		return int(op), deflated, nil
	}
	if p.none {
		p.said = nil
	}
	// What is added is what the sender took off, and an end.
	whole := append(deflated, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
	b, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(whole), p.said))
	p.plain += len(b)
	p.said = append(p.said, b...)
	p.said = p.said[max(0, len(p.said)-32<<10):]
	return int(op), b, err
}
