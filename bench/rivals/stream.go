package main

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// streamPath is where a text message asks for a run.
const streamPath = "/ws"

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

// words are what agloop stream says, each token from one letter further on, so that both compress as well.
const words = "every token is an event of its own "

// run is an AG-UI run as it is written by hand: a goroutine that sleeps until the next burst is due, and encoding/json
// for each event.
func (in *runInput) run(write func(event []byte) error) error {
	p := in.ForwardedProps
	if p.Rate < 1 || p.Burst < 1 || p.Delta < 1 || p.Seconds < 1 {
		return errors.New("forwardedProps: all lie above 0")
	}
	send := func(ev any) error {
		b, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		return write(b)
	}

	message := "message-" + in.RunID
	if err := send(runEvent{"RUN_STARTED", in.ThreadID, in.RunID}); err != nil {
		return err
	}
	if err := send(textStart{"TEXT_MESSAGE_START", message, "assistant"}); err != nil {
		return err
	}
	text := strings.Repeat(words, p.Delta/len(words)+2)
	begin, interval := time.Now(), time.Second/time.Duration(p.Rate)
	for i := range p.Rate * p.Seconds {
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * interval)))
		for k := range p.Burst {
			at := (i*p.Burst + k) % len(words)
			if err := send(textContent{"TEXT_MESSAGE_CONTENT", time.Now().UnixMilli(), message, text[at : at+p.Delta]}); err != nil {
				return err
			}
		}
	}
	if err := send(textEnd{"TEXT_MESSAGE_END", message}); err != nil {
		return err
	}
	return send(runEvent{"RUN_FINISHED", in.ThreadID, in.RunID})
}
