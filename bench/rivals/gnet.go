package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"
)

// gnetEcho is what the reactor costs with next to nothing on it: no limits, no timeouts, no fragments, and only the
// checks that parsing needs.
type gnetEcho struct {
	gnet.BuiltinEventEngine
}

// scratch is the buffers of one loop, and the context of its connections past their handshake: nothing of ours is kept
// for an idle one, and nothing is locked on the way of a message.
type scratch struct {
	in  bytes.Reader
	hdr [ws.MaxHeaderSize]byte
	out bytes.Buffer
}

var scratches sync.Map // gnet.EventLoop → *scratch

func scratchOf(el gnet.EventLoop) *scratch {
	s, ok := scratches.Load(el)
	if !ok {
		s, _ = scratches.LoadOrStore(el, new(scratch))
	}
	return s.(*scratch)
}

func serveGnet(addr string, loops int) error {
	if os.Getenv("GOMAXPROCS") == "" {
		// With a P to spare the scheduler's monitor leaves the loops' system calls alone.
		runtime.GOMAXPROCS(loops + 1)
	}
	return gnet.Run(&gnetEcho{}, "tcp://"+addr,
		gnet.WithNumEventLoop(loops), gnet.WithReusePort(true), gnet.WithReuseAddr(true))
}

func (*gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	s, ok := c.Context().(*scratch)
	if !ok {
		return handshake(c, b)
	}
	taken, ok := echoAll(s, b)
	if s.out.Len() > 0 {
		c.Write(s.out.Bytes())
		s.out.Reset()
	}
	if !ok {
		return gnet.Close
	}
	if taken > 0 { // Discard(0) would discard everything
		c.Discard(taken)
	}
	return gnet.None
}

// echoAll answers every whole frame of b and returns how many bytes those were.
func echoAll(s *scratch, b []byte) (taken int, ok bool) {
	for {
		s.in.Reset(b[taken:])
		h, err := ws.ReadHeaderBuffer(&s.in, s.hdr[:])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return taken, true
		}
		if err != nil || !h.Masked {
			return taken, false
		}
		if int64(s.in.Len()) < h.Length {
			return taken, true
		}
		at := len(b) - s.in.Len()
		payload := b[at : at+int(h.Length)]
		taken = at + len(payload)
		ws.Cipher(payload, h.Mask, 0)
		switch h.OpCode {
		case ws.OpPing:
			h.OpCode = ws.OpPong
		case ws.OpPong:
			continue
		}
		h.Masked = false
		ws.WriteHeaderBuffer(&s.out, h, s.hdr[:])
		s.out.Write(payload)
		if h.OpCode == ws.OpClose {
			return taken, false
		}
	}
}

const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func handshake(c gnet.Conn, b []byte) gnet.Action {
	head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		return gnet.None
	}
	_, key, found := bytes.Cut(head, []byte("\r\nSec-WebSocket-Key: "))
	if !found {
		return gnet.Close
	}
	key, _, _ = bytes.Cut(key, []byte("\r\n"))
	sum := sha1.Sum(append(bytes.Clone(key), magic...))
	out := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	out = base64.StdEncoding.AppendEncode(out, sum[:])
	c.Write(append(out, "\r\n\r\n"...))
	c.SetContext(scratchOf(c.EventLoop()))
	c.Discard(len(b) - len(rest))
	// Frames sent together with the request stay in gnet's buffer until more come: the load sends none before the answer.
	return gnet.None
}
