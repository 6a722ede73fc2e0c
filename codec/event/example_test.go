package event_test

import (
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

func ExampleAppend() {
	buf, err := event.Append(nil, &agui.TextMessageContent{MessageID: "m", Delta: "Hello \"you\""})
	fmt.Println(string(buf), err)

	buf, err = event.Append(buf[:0], &agui.TextMessageStart{MessageID: "m", Role: agui.RoleTool})
	fmt.Println(len(buf), err)
	// Output:
	// {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hello \"you\""} <nil>
	// 0 agloop: TEXT_MESSAGE_START: role: must be developer or system or assistant or user
}

func ExampleDecoder() {
	var d event.Decoder
	for _, data := range []string{
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hello","mood":"fine"}`,
		`{"type":"TELEPORT"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":5}`,
	} {
		ev, notes, err := d.DecodeEvent([]byte(data))
		if content, ok := ev.(*agui.TextMessageContent); ok {
			fmt.Println(content.Delta)
		}
		for _, note := range notes {
			fmt.Printf("%v %s %q\n", note.Kind, note.Event, note.Path)
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// Hello
	// stripped TEXT_MESSAGE_CONTENT "mood"
	// dropped TELEPORT ""
	// agloop: TEXT_MESSAGE_CONTENT: delta: must be a string
}
