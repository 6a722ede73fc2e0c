//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// sseConn is the response of a server that streams a run over HTTP/1.1.
type sseConn struct {
	chunked bool
	body    []byte // of an event that has not all come; empty nearly always
	over    bool   // the last chunk has come
}

// post is the request of a run.
func (t *target) post(input []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"+
		"Content-Length: %d\r\n\r\n%s", t.path, t.hostPort, len(input), input)
}

var errChunk = errors.New("malformed chunk")

// handleStream passes the events in b to the mode and keeps an incomplete one.
func (e *engine) handleStream(c *conn, b []byte) error {
	if c.state == upgrading {
		head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if !whole {
			c.tail = append(c.tail, b...)
			return nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("refused: %q", b)
		}
		c.sse.chunked = bytes.Contains(bytes.ToLower(head), []byte("\r\ntransfer-encoding: chunked"))
		c.state = open
		if b = b[len(head)+4:]; len(b) == 0 {
			return nil
		}
	}
	e.reads++
	if !c.sse.chunked {
		return e.handleEvents(c, b)
	}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\r\n"))
		if !whole {
			break
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return errChunk
		}
		size := int(n)
		if len(rest) < size+2 {
			break
		}
		e.wire += uint64(len(line) + 4)
		if c.sse.over = size == 0; c.sse.over {
			return e.mode.onTurn(c)
		}
		b = rest[size+2:]
		if err := e.handleEvents(c, rest[:size]); err != nil {
			return err
		}
	}
	c.tail = append(c.tail, b...)
	return nil
}

// handleEvents passes the events of a piece of a body to the mode.
func (e *engine) handleEvents(c *conn, b []byte) error {
	e.wire += uint64(len(b))
	if len(c.sse.body) > 0 {
		c.sse.body = append(c.sse.body, b...)
		b = c.sse.body
	}
	for {
		event, rest, whole := bytes.Cut(b, []byte("\n\n"))
		if !whole {
			break
		}
		b = rest
		at := bytes.Index(event, []byte("data: "))
		if at < 0 { // a comment
			continue
		}
		data, _, _ := bytes.Cut(event[at+len("data: "):], []byte("\n"))
		e.frames++
		e.plain += uint64(len(data))
		if err := e.mode.onMessage(c, frame{op: opText, fin: true, payload: data}); err != nil {
			return err
		}
	}
	c.sse.body = append(c.sse.body[:0], b...)
	return e.mode.onTurn(c)
}
