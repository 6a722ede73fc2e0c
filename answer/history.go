package answer

import "github.com/agloop/agloop/agui"

// History returns a conversation as providers want it: the results of an assistant's calls right
// behind them, all of them and no others. So results are put there, and calls without a result are left
// out, as a cancelled run leaves them, or a user who wrote something else. Left out as well are
// messages of the roles reasoning and activity, and those of the assistant that say nothing. The messages are
// not changed; the list shares their memory.
func History(messages []agui.Message) []agui.Message {
	results := make(map[string]*agui.Message) // by the id of the call, the last
	for i := range messages {
		if m := &messages[i]; m.Role == agui.RoleTool && m.ToolCallID != nil {
			results[*m.ToolCallID] = m
		}
	}
	var list []agui.Message
	for i := range messages {
		switch m := messages[i]; m.Role {
		case agui.RoleTool, agui.RoleReasoning, agui.RoleActivity:
		case agui.RoleAssistant:
			list = appendAssistant(list, m, results)
		default:
			list = append(list, m)
		}
	}
	return list
}

// appendAssistant appends a message of the assistant with the results of its calls, which are taken
// out of results.
func appendAssistant(list []agui.Message, m agui.Message, results map[string]*agui.Message) []agui.Message {
	var (
		calls   []agui.ToolCall
		answers []agui.Message
	)
	for _, call := range m.ToolCalls {
		if result := results[call.ID]; result != nil {
			delete(results, call.ID)
			calls, answers = append(calls, call), append(answers, *result)
		}
	}
	m.ToolCalls = calls
	if len(calls) == 0 && Text(&m) == "" {
		return list
	}
	return append(append(list, m), answers...)
}

// Text is the text of a message: its content, or the text parts of that, a line each. It is "" for
// other content.
func Text(m *agui.Message) string {
	if m.Content == nil {
		return ""
	}
	text := m.Content.Text
	if m.Content.Parts != nil {
		text = ""
	}
	for _, p := range m.Content.Parts {
		if p.Type != agui.PartText || p.Text == nil {
			continue
		}
		if text != "" {
			text += "\n"
		}
		text += *p.Text
	}
	return text
}
