package event

import (
	"crypto/rand"
	"encoding/json"
	"strings"

	"github.com/agloop/agloop/agui"
)

// retired is the present form of a retired event type.
type retired struct {
	event  agui.EventType
	opens  bool
	closes bool
}

var retiredTypes = map[string]retired{
	"THINKING_START":                {agui.EventTypeReasoningStart, true, false},
	"THINKING_END":                  {agui.EventTypeReasoningEnd, false, true},
	"THINKING_TEXT_MESSAGE_START":   {agui.EventTypeReasoningMessageStart, true, false},
	"THINKING_TEXT_MESSAGE_CONTENT": {agui.EventTypeReasoningMessageContent, false, false},
	"THINKING_TEXT_MESSAGE_END":     {agui.EventTypeReasoningMessageEnd, false, true},
}

// thinking holds the ids made for retired events, which had none.
type thinking struct {
	span    string
	message string
}

// idFor returns the id for an event of form r and keeps it until the event that ends the span or
// message.
func (t *thinking) idFor(r retired) string {
	held := &t.message
	if r.event == agui.EventTypeReasoningStart || r.event == agui.EventTypeReasoningEnd {
		held = &t.span
	}
	id := *held
	if r.opens || id == "" {
		id = "thinking-" + rand.Text()
	}
	switch {
	case r.opens:
		*held = id
	case r.closes:
		*held = ""
	}
	return id
}

// translate rewrites the retired event in data, a JSON object, to form r. Its
// containers may nest most deep. The title of THINKING_START is lost, because the present form has
// no such member.
func (t *thinking) translate(data []byte, r retired, most int) ([]byte, error) {
	s := jsonScan{data: data, most: most}
	out := make([]byte, 0, len(data)+96)
	out = append(out, `{"type":"`...)
	out = append(out, r.event...)
	out = append(out, `","messageId":"`...)
	out = append(out, t.idFor(r)...)
	out = append(out, '"')
	if r.event == agui.EventTypeReasoningMessageStart {
		out = append(out, `,"role":"reasoning"`...)
	}
	s.peek()
	s.descend()
	for {
		s.peek()
		at := s.pos
		name, ok := s.key()
		if !ok || !s.skipValue() {
			return nil, &FieldError{Reason: s.reason}
		}
		switch plain := s.string(name); {
		case plain == "type", plain == "messageId":
		case plain == "role" && r.event == agui.EventTypeReasoningMessageStart:
		case plain == "title" && r.event == agui.EventTypeReasoningStart:
		default:
			out = append(out, ',')
			out = append(out, data[at:s.pos]...)
		}
		more, ok := s.next('}')
		if !ok {
			return nil, &FieldError{Reason: s.reason}
		}
		if !more {
			break
		}
	}
	if !s.finish() {
		return nil, &FieldError{Reason: s.reason}
	}
	return append(out, '}'), nil
}

// binaryPart translates the retired part at pos to the media part of its MIME family. A part with
// neither data nor url has no present form and is schemaUnknown.
func (w *schemaWalk) binaryPart() schemaVerdict {
	start := w.pos
	if !w.jsonScan.skipValue() {
		return schemaFatal
	}
	var old struct {
		MimeType json.RawMessage `json:"mimeType"`
		Data     json.RawMessage `json:"data"`
		URL      json.RawMessage `json:"url"`
		Filename json.RawMessage `json:"filename"`
	}
	if json.Unmarshal(w.data[start:w.pos], &old) != nil {
		return w.fatal("not valid JSON")
	}
	var mime string
	if json.Unmarshal(old.MimeType, &mime) != nil {
		return schemaUnknown
	}
	kind, value := agui.SourceData, old.Data
	if len(value) == 0 || string(value) == `""` || string(value) == "null" {
		kind, value = agui.SourceURL, old.URL
	}
	if len(value) == 0 || string(value) == `""` || string(value) == "null" {
		return schemaUnknown
	}
	if value[0] != '"' {
		w.push(string(kind), 0)
		return w.fatal("must be a string")
	}
	text := `{"type":"` + binaryFamily(mime) + `","source":{"type":"` + string(kind) +
		`","value":` + string(value) + `,"mimeType":` + string(old.MimeType) + `}`
	if name := string(old.Filename); len(name) > 2 && name[0] == '"' {
		text += `,"metadata":{"filename":` + name + `}`
	}
	w.edit(start, w.pos, text+"}")
	w.note(NoteTranslated)
	return schemaKeep
}

func binaryFamily(mime string) string {
	family, _, ok := strings.Cut(mime, "/")
	if ok && (family == "image" || family == "audio" || family == "video") {
		return family
	}
	return "document"
}
