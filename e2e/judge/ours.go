package main

import (
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// verdict is what a side makes of an event or a stream.
type verdict struct {
	// Fatal is why it is refused; "" when it is not.
	Fatal string `json:"fatal,omitempty"`
	// Dropped says that an event is left out.
	Dropped bool `json:"dropped,omitempty"`
	// Kept is an event as the application has it, Delivered those of a stream.
	Kept      value   `json:"kept,omitempty"`
	Delivered []value `json:"delivered,omitempty"`

	err error // of ours: Fatal
}

// refuse makes it a refusal.
func (v *verdict) refuse(err error) { v.Fatal, v.err = err.Error(), err }

// readEvent is the verdict of a reader on one event. The notes are what it left out.
func readEvent(d *event.Decoder, text string) (v verdict, ev agui.Event, notes []event.Note) {
	ev, notes, err := d.DecodeEvent([]byte(text))
	switch {
	case err != nil:
		v.refuse(err)
	case ev == nil:
		v.Dropped = true
	default:
		if v.Kept, err = encode(ev); err != nil {
			v.refuse(err)
		}
	}
	return v, ev, notes
}

// encode is an event as a sender writes it, or why it does not.
func encode(ev agui.Event) (value, error) {
	b, err := event.Append(nil, ev)
	if err != nil {
		return value{}, err
	}
	return valueOf(b), nil
}

// readStream is the verdict of a reader on a stream: what a client does with its frames. done says
// whether it came to a terminal event.
func readStream(texts []string) (v verdict, done bool) {
	var (
		decoder  event.Decoder
		expander agui.Expander
		order    agui.Order
	)
	for _, text := range texts {
		ev, _, err := decoder.DecodeEvent([]byte(text))
		if err == nil && ev == nil {
			continue
		}
		var events []agui.Event
		if err == nil {
			events, err = expander.Expand(ev, nil)
		}
		for _, ev := range events {
			if err = order.Check(ev); err != nil {
				break
			}
			var kept value
			if kept, err = encode(ev); err != nil {
				break
			}
			v.Delivered = append(v.Delivered, kept)
		}
		if err != nil {
			v.refuse(err)
			return v, false
		}
	}
	return v, order.Done()
}

// sendStream is what a sender makes of a stream: what Emit of a server does with its events. An event
// that is refused is an error to the agent, and its run goes on; what is open at the end of a run is
// closed by the server, which cancels it. v says why the first was refused. An event that is no event, or
// that a reader drops, is none to a sender.
func sendStream(texts []string) (v verdict, sent []string) {
	var (
		decoder event.Decoder
		order   agui.Order
	)
	send := func(ev agui.Event) error {
		b, err := event.Append(nil, ev)
		if err == nil {
			err = order.Check(ev)
		}
		if err == nil {
			sent = append(sent, string(b))
		}
		return err
	}
	for _, text := range texts {
		ev, _, err := decoder.DecodeEvent([]byte(text))
		if err == nil && ev != nil {
			err = send(ev)
		}
		if err != nil && v.err == nil {
			v.refuse(err)
		}
	}
	if order.Active() {
		for _, ev := range order.Open() {
			if err := send(ev); err != nil {
				return v, append(sent, "what is open cannot be closed: "+err.Error())
			}
		}
		err := send(&agui.RunFinished{
			ThreadID: order.ThreadID(), RunID: order.RunID(), Outcome: &agui.Outcome{Type: agui.OutcomeCancelled},
		})
		if err != nil {
			return v, append(sent, "the run cannot be ended: "+err.Error())
		}
	}
	return v, sent
}
