package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

var coderOptions = websocket.AcceptOptions{InsecureSkipVerify: true, CompressionThreshold: leastDeflated}

func serveCoder(s setup) error {
	switch s.deflate {
	case "takeover":
		coderOptions.CompressionMode = websocket.CompressionContextTakeover
	case "none":
		coderOptions.CompressionMode = websocket.CompressionNoContextTakeover
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", coderEcho)
	mux.HandleFunc(streamPath, coderStream)
	mux.HandleFunc(fanoutPath, new(coderHub).serve)
	return s.serveHTTP(mux)
}

func coderAccept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	c, err := websocket.Accept(w, r, &coderOptions)
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	return c, nil
}

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coderAccept(w, r)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := context.Background()
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, p); err != nil {
			return
		}
	}
}

// coderStream has the run on the goroutine of its connection, and a Write for each event.
func coderStream(w http.ResponseWriter, r *http.Request) {
	c, err := coderAccept(w, r)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := context.Background()
	var in runInput
	if err := wsjson.Read(ctx, c, &in); err != nil {
		return
	}
	if in.run(func(event []byte) error { return c.Write(ctx, websocket.MessageText, event) }) != nil {
		return
	}
	c.Close(websocket.StatusNormalClosure, "")
}

// coderHub fans out as the library's chat example does: a channel and a writing goroutine for each subscriber, and who
// does not keep up is closed.
type coderHub struct {
	members[*coderMember]
}

type coderMember struct {
	c    *websocket.Conn
	send chan coderMessage
}

type coderMessage struct {
	kind websocket.MessageType
	p    []byte
}

func (h *coderHub) serve(w http.ResponseWriter, r *http.Request) {
	c, err := coderAccept(w, r)
	if err != nil {
		return
	}
	defer c.CloseNow()
	m := &coderMember{c, make(chan coderMessage, queueSize)}
	h.add(m)
	go m.write()
	defer close(m.send) // after remove: nobody sends any more
	defer h.remove(m)
	for {
		kind, p, err := c.Read(context.Background())
		if err != nil {
			return
		}
		h.publish(coderMessage{kind, p})
	}
}

func (h *coderHub) publish(msg coderMessage) {
	h.each(func(m *coderMember) {
		select {
		case m.send <- msg:
		default:
			go m.c.Close(websocket.StatusPolicyViolation, "connection too slow to keep up with messages")
		}
	})
}

func (m *coderMember) write() {
	for msg := range m.send {
		if m.c.Write(context.Background(), msg.kind, msg.p) != nil {
			m.c.CloseNow()
			return
		}
	}
}
