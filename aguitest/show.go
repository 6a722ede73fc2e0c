package aguitest

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

const (
	// maxLine is how much of one event is shown, in bytes.
	maxLine = 240
	// maxLines is how many lines of a run are shown: the first and the last of them.
	maxLines = 60
)

// String shows the run for people: a line for each event, and what went wrong.
func (r *Result) String() string {
	var b strings.Builder
	b.WriteString(show(r.Events))
	if r.Err != nil {
		fmt.Fprintf(&b, "\nerror: %v", r.Err)
	}
	for _, err := range r.Refused {
		fmt.Fprintf(&b, "\nrefused: %v", err)
	}
	for _, err := range r.Skipped {
		fmt.Fprintf(&b, "\nclients skip: %v", err)
	}
	return b.String()
}

// show is a line for each event. Pieces of one text that follow each other share a line.
func show(events []agui.Event) string {
	if len(events) == 0 {
		return "events: none"
	}
	var (
		list []string
		last piece
		text string
		n    int
	)
	for i, ev := range events {
		if p, delta := pieceOf(ev); p.of != "" && p == last {
			text, n = text+delta, n+1
			list[len(list)-1] = fmt.Sprintf("%4d %s %s: %s, in %d pieces", i-n+1, p.of, p.id, clip(fmt.Sprintf("%q", text)), n)
			continue
		} else if last = p; p.of != "" {
			text, n = delta, 1
			list = append(list, fmt.Sprintf("%4d %s %s: %s", i, p.of, p.id, clip(fmt.Sprintf("%q", delta))))
			continue
		}
		list = append(list, fmt.Sprintf("%4d %s", i, clip(encode(ev))))
	}
	if cut := len(list) - maxLines; cut > 0 {
		list = append(append(list[:maxLines/2:maxLines/2], fmt.Sprintf("     … %d lines …", cut)), list[maxLines/2+cut:]...)
	}
	return "events:\n" + strings.Join(list, "\n")
}

// piece says which text a piece belongs to. The zero value is none.
type piece struct {
	of agui.EventType
	id string
}

func pieceOf(ev agui.Event) (p piece, delta string) {
	if b := ev.Common(); b.Timestamp != nil || b.SubagentRunID != nil || len(b.RawEvent)+len(b.Metadata) > 0 {
		return piece{}, "" // there is more to show
	}
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		return piece{ev.Type(), e.MessageID}, e.Delta
	case *agui.ReasoningMessageContent:
		return piece{ev.Type(), e.MessageID}, e.Delta
	case *agui.ToolCallArgs:
		return piece{ev.Type(), e.ToolCallID}, e.Delta
	}
	return piece{}, ""
}

// encode is the type of ev and its members as JSON.
func encode(ev agui.Event) string {
	b, err := event.Append(nil, ev)
	if err != nil {
		return err.Error()
	}
	rest := strings.TrimPrefix(string(b), `{"type":"`+string(ev.Type())+`"`)
	if rest = strings.TrimPrefix(rest, ","); rest == "}" {
		return string(ev.Type())
	}
	return string(ev.Type()) + " {" + rest
}

func clip(s string) string {
	if len(s) <= maxLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxLine], "") + "…"
}

// quoted shows texts, each in quotes.
func quoted(texts []string) string { return fmt.Sprintf("%q", texts) }

// lines shows types in one line.
func lines(types []agui.EventType) string {
	if len(types) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, t := range types {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(t))
	}
	return b.String()
}
