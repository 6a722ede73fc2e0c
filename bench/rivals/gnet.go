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

// gnetServer is what the reactor costs with next to nothing on it: no limits, no timeouts, no fragments, and only the
// checks that parsing needs.
type gnetServer struct {
	gnet.BuiltinEventEngine
	rooms gnetRooms
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

func serveGnet(s setup) error {
	if os.Getenv("GOMAXPROCS") == "" {
		// With a P to spare the scheduler's monitor leaves the loops' system calls alone.
		runtime.GOMAXPROCS(s.loops + 1)
	}
	return gnet.Run(&gnetServer{}, "tcp://"+s.addr,
		gnet.WithNumEventLoop(s.loops), gnet.WithReusePort(true), gnet.WithReuseAddr(true))
}

func (g *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	var taken int
	var ok bool
	switch at := c.Context().(type) {
	case *scratch:
		taken, ok = at.answer(b, &at.out)
		at.flush(c)
	case *gnetRoom:
		taken, ok = at.answer(b, &at.news)
		g.rooms.publish(at)
		at.flush(c) // last: it may hold the answer to a close frame
	default:
		return g.handshake(c, b)
	}
	if !ok {
		return gnet.Close
	}
	if taken > 0 { // Discard(0) would discard everything
		c.Discard(taken)
	}
	return gnet.None
}

// answer takes every whole frame of b: messages go to data as frames of a server, answers to control frames to s.out.
// It returns how many bytes those were.
func (s *scratch) answer(b []byte, data *bytes.Buffer) (taken int, ok bool) {
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
		to := data
		switch h.OpCode {
		case ws.OpPing:
			h.OpCode = ws.OpPong
			to = &s.out
		case ws.OpPong:
			continue
		case ws.OpClose:
			to = &s.out
		}
		h.Masked = false
		ws.WriteHeaderBuffer(to, h, s.hdr[:])
		to.Write(payload)
		if h.OpCode == ws.OpClose {
			return taken, false
		}
	}
}

func (s *scratch) flush(c gnet.Conn) {
	if s.out.Len() > 0 {
		c.Write(s.out.Bytes())
		s.out.Reset()
	}
}

const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func (g *gnetServer) handshake(c gnet.Conn, b []byte) gnet.Action {
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
	if bytes.HasPrefix(head, []byte("GET "+fanoutPath+" ")) {
		g.rooms.enter(c)
	} else {
		c.SetContext(scratchOf(c.EventLoop()))
	}
	c.Discard(len(b) - len(rest))
	// Frames sent together with the request stay in gnet's buffer until more come: the load sends none before the answer.
	return gnet.None
}
