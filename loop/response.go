package loop

import (
	"net/http"
	"strconv"
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// A response of HTTP/1.1 that goes on, such as a stream of events, can leave net/http for a loop behind
// its head. The connection is a Conn like others then, with its outbox, limits and deadlines, but what is
// queued are pieces of the body (RFC 9112 §7.1) instead of frames, and nothing is read. It ends with the
// response.

// Responder is the handler of a response on a loop, as far as it is one: OnMessage is not called.
type Responder interface {
	// Ping is a piece of the body that says nothing, for PingInterval; nil for none.
	Ping() []byte
	// Lost says that the response came to no loop: OnOpen was not called and will not be. Any goroutine.
	Lost()
}

// MayRespond reports whether Respond can be tried: where the request is of HTTP/1.1, on a connection that
// this door has accepted. Elsewhere middleware of a host's may have wrapped the response.
func (d *Door) MayRespond(r *http.Request) bool {
	nc := HTTPConnOf(r.Context())
	return nc != nil && nc.door == d && r.ProtoMajor == 1 && r.ProtoMinor == 1
}

// Respond moves the response of the guest's request onto a loop, which the door's handler is told of by
// OnOpen: the connection's User is user then. The head has status 200, the fields of w and those of a
// body whose length is not known. The guest is the connection from then on, and must not Leave. The body
// of the request must have been read, and MayRespond have been asked. It returns false where the
// connection cannot be taken over, and nothing was answered.
func (g *Guest) Respond(w http.ResponseWriter, r *http.Request, user Responder) bool {
	d := g.conn.endpoint.door
	g.conn.marks.Or(markResponse)
	g.conn.entry().user = user
	enrolled, err := d.takeOver(w, r, g.conn, appendResponseHead(nil, w.Header()))
	if err != nil {
		g.conn.marks.And(^markResponse)
		return false
	}
	if !enrolled { // it has ended
		user.Lost()
		g.Leave()
	}
	return true
}

// IsResponse reports whether a connection carries a response of HTTP: its request was let in before, so it
// is opened by a door that has stopped as well. Any goroutine.
func IsResponse(c *Conn) bool { return c.marked(markResponse) }

// lostResponse tells of a response whose connection is gone before its loop had it.
func (c *Conn) lostResponse() {
	if !c.marked(markResponse) {
		return
	}
	if r, ok := c.entry().user.(Responder); ok {
		r.Lost()
	}
}

// appendResponseHead appends the head of a response whose body comes in chunks and ends the connection.
func appendResponseHead(dst []byte, header http.Header) []byte {
	dst = append(dst, "HTTP/1.1 200 OK\r\nDate: "...)
	dst = time.Now().UTC().AppendFormat(dst, http.TimeFormat)
	dst = append(dst, "\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"...)
	for name, values := range header {
		switch name {
		case "Date", "Connection", "Transfer-Encoding", "Content-Length":
			continue
		}
		for _, v := range values {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, v...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}

// OfferBody queues one piece of the body if there is room, as Offer does with a message. last ends the
// body. Any goroutine.
func (c *Conn) OfferBody(piece []byte, last bool) SendResult {
	return c.Offer(nil, nil, false, piece, last)
}

// ChunkRoom is how many bytes AppendChunk adds to a piece at most, the end of the body included.
const ChunkRoom = 8 + 2 + 2 + len(lastChunk)

const lastChunk = "0\r\n\r\n"

// AppendChunkHead appends what goes before a piece of so many bytes.
func AppendChunkHead(dst []byte, size int) []byte {
	dst = strconv.AppendUint(dst, uint64(size), 16)
	return append(dst, "\r\n"...)
}

// AppendChunkEnd appends what goes behind a piece, and behind the last one.
func AppendChunkEnd(dst []byte, last bool) []byte {
	dst = append(dst, "\r\n"...)
	if last {
		dst = append(dst, lastChunk...)
	}
	return dst
}

// pingResponse says that the response goes on.
func (c *Conn) pingResponse() {
	c.loop.owner.check()
	r, _ := c.User().(Responder)
	if r == nil {
		return
	}
	if p := r.Ping(); p != nil {
		b := AppendChunkEnd(append(AppendChunkHead(nil, len(p)), p...), false)
		c.send(frame.Ping, b, urgent)
	}
}
