package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// standIn answers as a model does that asks for the time once and then says it.
func standIn(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Messages []struct {
			Role    string
			Content any
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Messages) == 0 {
		http.Error(w, `{"error":{"message":"no messages"}}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	last := asked.Messages[len(asked.Messages)-1]
	if last.Role != "tool" {
		send(w, map[string]any{"tool_calls": []any{map[string]any{
			"index": 0, "id": "call-1", "type": "function", "function": map[string]any{"name": "clock", "arguments": "{}"},
		}}}, nil)
		send(w, map[string]any{}, "tool_calls")
		return
	}
	for _, word := range strings.SplitAfter(fmt.Sprintf("It is %v.", last.Content), " ") {
		send(w, map[string]any{"content": word}, nil)
	}
	send(w, map[string]any{}, "stop")
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// send sends one chunk.
func send(w http.ResponseWriter, delta map[string]any, reason any) {
	b, err := json.Marshal(map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "stand-in",
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": reason}},
	})
	if err == nil {
		fmt.Fprintf(w, "data: %s\n\n", b)
		w.(http.Flusher).Flush()
	}
}
