package codec_test

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec"
	"encoding/json"
)

func TestZZDump(t *testing.T) {
	path := os.Getenv("ZZDUMP")
	if path == "" { t.Skip() }
	f, _ := os.Create(path)
	defer f.Close()
	w := bufio.NewWriter(f)
	defer w.Flush()
	evs := append(eventSamples(),
		&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeSuccess, PendingToolCallIDs: []string{"c"}}},
		&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeCancelled}},
		&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchReplace, Value: json.RawMessage("1")}}},
		&agui.ToolCallResult{Content: agui.Content{Text: "x"}},
		&agui.RunStarted{Input: &agui.RunAgentInput{Context: []agui.Context{{"a", "b"}}}},
	)
	for _, line := range eventsLines() { ev, _ := eventDecode(t, []byte(line)); evs = append(evs, ev) }
	for _, line := range eventLines(t, "events.ndjson") { if len(line) < 4096 { ev, _ := eventDecode(t, line); evs = append(evs, ev) } }
	for i, ev := range evs {
		n := 0
		check := func() {
			n++
			out, err := codec.AppendEvent(nil, ev)
			fmt.Fprintf(w, "%d.%d %s %v %s\n", i, n, ev.Type(), err, out)
		}
		check()
		serializerMutate(reflect.ValueOf(ev).Elem(), check)
		if s, ok := ev.(*agui.RunStarted); ok && s.Input != nil {
			check := func() {
				n++
				out, err := codec.AppendRunAgentInput(nil, s.Input)
				fmt.Fprintf(w, "%d.%d INPUT %v %s\n", i, n, err, out)
			}
			check()
			serializerMutate(reflect.ValueOf(s.Input).Elem(), check)
		}
	}
}
