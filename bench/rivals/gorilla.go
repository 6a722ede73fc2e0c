package main

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// The upgrader has the buffer sizes that most programs give it: none, which takes over the HTTP server's.
var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func serveGorilla(s setup) error {
	upgrader.EnableCompression = s.deflate != ""
	mux := http.NewServeMux()
	mux.HandleFunc("/", gorillaEcho)
	mux.HandleFunc(streamPath, gorillaStream)
	mux.HandleFunc(fanoutPath, new(gorillaHub).serve)
	return s.serveHTTP(mux)
}

func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, p); err != nil {
			return
		}
	}
}

// gorillaStream has the run on the goroutine of its connection, and a WriteMessage for each event.
func gorillaStream(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	var in runInput
	if err := c.ReadJSON(&in); err != nil {
		return
	}
	if in.run(func(event []byte) error { return c.WriteMessage(websocket.TextMessage, event) }) != nil {
		return
	}
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
	// Wait for the answer: closing with it unread could cut off the last event.
	c.SetReadDeadline(time.Now().Add(time.Second))
	for err == nil {
		_, _, err = c.ReadMessage()
	}
}
