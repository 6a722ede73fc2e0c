package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// The upgrader has the buffer sizes that most programs give it: none, which takes over the HTTP server's.
var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func serveGorilla(s setup) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", gorillaEcho)
	mux.HandleFunc("/ws", gorillaStream)
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

type runInput struct {
	ThreadID       string `json:"threadId"`
	RunID          string `json:"runId"`
	ForwardedProps struct {
		Rate    int `json:"rate"`    // bursts per second
		Burst   int `json:"burst"`   // content events in one
		Delta   int `json:"delta"`   // bytes of text in an event
		Seconds int `json:"seconds"` // length of the run
	} `json:"forwardedProps"`
}

type runEvent struct {
	Type     string `json:"type"`
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`
}

type textStart struct {
	Type      string `json:"type"`
	MessageID string `json:"messageId"`
	Role      string `json:"role"`
}

type textContent struct {
	Type      string `json:"type"`
	Timestamp int64  `json:"timestamp"`
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
}

type textEnd struct {
	Type      string `json:"type"`
	MessageID string `json:"messageId"`
}

// gorillaStream is an AG-UI run as it is written by hand: a goroutine and a ticker for each, encoding/json for each
// event, and a WriteMessage for each event.
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
	p := in.ForwardedProps
	if p.Rate < 1 || p.Burst < 1 || p.Delta < 1 || p.Seconds < 1 {
		return
	}
	send := func(ev any) error {
		b, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		return c.WriteMessage(websocket.TextMessage, b)
	}

	message := "message-" + in.RunID
	if send(runEvent{"RUN_STARTED", in.ThreadID, in.RunID}) != nil {
		return
	}
	if send(textStart{"TEXT_MESSAGE_START", message, "assistant"}) != nil {
		return
	}
	text := strings.Repeat("token ", p.Delta/6+1)[:p.Delta]
	begin, interval := time.Now(), time.Second/time.Duration(p.Rate)
	for i := range p.Rate * p.Seconds {
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * interval)))
		for range p.Burst {
			if send(textContent{"TEXT_MESSAGE_CONTENT", time.Now().UnixMilli(), message, text}) != nil {
				return
			}
		}
	}
	if send(textEnd{"TEXT_MESSAGE_END", message}) != nil {
		return
	}
	if send(runEvent{"RUN_FINISHED", in.ThreadID, in.RunID}) != nil {
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
