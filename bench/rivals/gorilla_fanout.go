package main

import (
	"net/http"

	"github.com/gorilla/websocket"
)

// gorillaHub fans out as the library's chat example does: a channel and a writing goroutine for each client, and who
// does not keep up is closed. A prepared message is built once for all.
type gorillaHub struct {
	members[*gorillaMember]
}

type gorillaMember struct {
	c    *websocket.Conn
	send chan *websocket.PreparedMessage
}

func (h *gorillaHub) serve(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	m := &gorillaMember{c, make(chan *websocket.PreparedMessage, queueSize)}
	h.add(m)
	go m.write()
	defer close(m.send) // after remove: nobody sends any more
	defer h.remove(m)
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		msg, err := websocket.NewPreparedMessage(kind, p)
		if err != nil {
			return
		}
		h.publish(msg)
	}
}

func (h *gorillaHub) publish(msg *websocket.PreparedMessage) {
	h.each(func(m *gorillaMember) {
		select {
		case m.send <- msg:
		default:
			m.c.Close()
		}
	})
}

func (m *gorillaMember) write() {
	for msg := range m.send {
		if m.c.WritePreparedMessage(msg) != nil {
			m.c.Close()
			return
		}
	}
}
