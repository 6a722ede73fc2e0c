package agui_test

import (
	"fmt"

	"github.com/agloop/agloop/agui"
)

// A sender checks every event before writing it, and closes what is open when the run is cancelled.
func ExampleOrder() {
	var order agui.Order
	send := func(ev agui.Event) {
		if err := order.Check(ev); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.Type())
	}
	send(&agui.RunStarted{ThreadID: "t", RunID: "r"})
	send(&agui.TextMessageContent{MessageID: "m", Delta: "too early"})
	send(&agui.TextMessageStart{MessageID: "m"})

	for _, ev := range order.Open() {
		send(ev)
	}
	send(&agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: &agui.Outcome{Type: agui.OutcomeCancelled}})
	fmt.Println("done:", order.Done())
	// Output:
	// RUN_STARTED
	// agloop: TEXT_MESSAGE_CONTENT "m": it is not open
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_END
	// RUN_FINISHED
	// done: true
}

// A reader expands the chunk shorthand before looking at events.
func ExampleExpander() {
	var (
		expander agui.Expander
		events   []agui.Event
	)
	for _, ev := range []agui.Event{
		&agui.TextMessageChunk{MessageID: new("m"), Delta: new("Hel")},
		&agui.TextMessageChunk{Delta: new("lo")},
		&agui.RunFinished{ThreadID: "t", RunID: "r"},
	} {
		var err error
		if events, err = expander.Expand(ev, events[:0]); err != nil {
			fmt.Println(err)
		}
		for _, ev := range events {
			fmt.Println(ev.Type())
		}
	}
	// Output:
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_CONTENT
	// TEXT_MESSAGE_CONTENT
	// TEXT_MESSAGE_END
	// RUN_FINISHED
}
