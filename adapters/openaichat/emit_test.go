package openaichat_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/adapters/openaichat"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

func TestText(t *testing.T) {
	u := newUpstream(t, said("Hel", "lo ", "world"))
	got := aguitest.Run(t, u.agent(), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello world")
	got.WantTypes("RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED")
	if n := len(aguitest.EventsOf[*agui.TextMessageContent](got)); n != 3 {
		t.Errorf("%d pieces", n)
	}
	wantUsage(t, got, 1)
	if req := u.asked()[0]; req.Model != "model-1" || !req.StreamOptions.IncludeUsage || len(req.Messages) != 1 {
		t.Errorf("asked %+v", req)
	}
}

// wantUsage wants the usage of so many answers of the upstream.
func wantUsage(t *testing.T, got *aguitest.Result, answers int64) {
	t.Helper()
	list := got.Thread.Run().Usage
	if len(list) != 1 {
		t.Fatalf("usage %+v", list)
	}
	u := list[0]
	for name, c := range map[string]struct {
		got  *int64
		want int64
	}{
		"input": {u.InputTokens, 10}, "output": {u.OutputTokens, 5}, "total": {u.TotalTokens, 15},
		"cached": {u.CachedInputTokens, 4}, "reasoning": {u.ReasoningTokens, 2},
	} {
		if c.got == nil || *c.got != c.want*answers {
			t.Errorf("%s tokens: %v, want %d", name, c.got, c.want*answers)
		}
	}
	if u.CacheWriteInputTokens != nil || u.Model == nil || *u.Model != "model-1-exact" {
		t.Errorf("usage %+v", u)
	}
}

// TestPiecesOfTheWire: an answer that comes in writes of any size, and with CRLF and comments.
func TestPiecesOfTheWire(t *testing.T) {
	var whole strings.Builder
	for _, d := range []string{`{"content":"Grüße, "}`, `{"content":"世界"}`, call(0, "c1", "look", `{"at":"it"}`)} {
		whole.WriteString(chunk(d, "null"))
	}
	whole.WriteString(": keep-alive\n\n" + chunk("{}", `"tool_calls"`) + "data: [DONE]\n\n")
	for _, stream := range []string{whole.String(), strings.ReplaceAll(whole.String(), "\n", "\r\n")} {
		for _, size := range []int{1, 5, 64, 1 << 20} {
			u := newUpstream(t, func(w *response) {
				for rest := stream; rest != ""; {
					n := min(size, len(rest))
					w.write(rest[:n])
					rest = rest[n:]
				}
			})
			in := aguitest.Input("hello")
			in.Tools = []agui.Tool{{Name: "look"}}
			got := aguitest.Run(t, u.agent(), in)
			got.WantText("Grüße, 世界")
			got.WantToolCall("look", `{"at":"it"}`)
			got.WantSuccess()
		}
	}
}

// TestPiecesOfCharacters: a server may cut a text within a character, in UTF-8 or in UTF-16.
func TestPiecesOfCharacters(t *testing.T) {
	for _, tc := range []struct {
		name string
		raw  []string // JSON strings
		want string
	}{
		{"bytes", []string{"\"a\xf0\x9f\"", "\"\x99\"", "\"\x82b\""}, "a🙂b"},
		{"bytes that never come", []string{"\"a\xf0\x9f\""}, "a\uFFFD"},
		{"halves", []string{`"a\ud83d"`, `"\ude42b"`}, "a🙂b"},
		{"halves, one after the other", []string{`"\ud83d"`, `"\ude42\uD83D"`, `"\uDE42"`}, "🙂🙂"},
		{"an empty piece between", []string{`"a\ud83d"`, `""`, `"\ude42b"`}, "a🙂b"},
		{"a half alone", []string{`"a\ud83d"`, `"b"`}, "a\uFFFDb"},
		{"a half at the end", []string{`"a\ud83d"`}, "a\uFFFD"},
		{"a second half alone", []string{`"\ude42b"`}, "\uFFFDb"},
		{"no half", []string{`"\\ud83d"`, `"\ufffd"`, `"\ufffd"`}, `\ud83d` + "\uFFFD\uFFFD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var content, refusal, reasoning, args []string
			for _, s := range tc.raw {
				content = append(content, `{"content":`+s+`}`)
				refusal = append(refusal, `{"refusal":`+s+`}`)
				reasoning = append(reasoning, `{"reasoning_content":`+s+`}`)
				args = append(args, `{"tool_calls":[{"index":0,"function":{"name":"f","arguments":`+s+`}}]}`)
			}
			got := aguitest.Run(t, newUpstream(t, deltas("stop", content...)).agent(), aguitest.Input())
			got.WantText(tc.want)
			got = aguitest.Run(t, newUpstream(t, deltas("stop", refusal...)).agent(), aguitest.Input())
			got.WantText(tc.want)
			got = aguitest.Run(t, newUpstream(t, deltas("stop", reasoning...)).agent(), aguitest.Input())
			if r := got.Reasoning(); len(r) != 1 || r[0] != tc.want {
				t.Errorf("reasoning %q, want %q", r, tc.want)
			}
			in := aguitest.Input()
			in.Tools = []agui.Tool{{Name: "f"}}
			got = aguitest.Run(t, newUpstream(t, deltas("tool_calls", args...)).agent(), in)
			got.WantToolCall("f", tc.want)
		})
	}
}

// TestParallelCalls: calls that come one after the other, mixed, without ids, or all with one index.
func TestParallelCalls(t *testing.T) {
	for _, tc := range []struct {
		name   string
		deltas []string
		ids    []string // "" is any
	}{
		{"one after the other", []string{
			call(0, "c1", "look", ""), call(0, "", "", `{"at":`), call(0, "", "", `"a"}`), call(1, "c2", "look", ""), call(1, "", "", `{"at":"b"}`),
		}, []string{"c1", "c2"}},
		{"mixed", []string{
			call(0, "c1", "look", `{"at":`), call(1, "c2", "look", `{"at"`), call(0, "", "", `"a"}`), call(1, "", "", `:"b"}`),
		}, []string{"c1", "c2"}},
		{"in one delta", []string{
			`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"look","arguments":"{\"at\":\"a\"}"}},` +
				`{"index":1,"id":"c2","function":{"name":"look","arguments":"{\"at\":\"b\"}"}}]}`,
		}, []string{"c1", "c2"}},
		{"one index", []string{call(0, "c1", "look", `{"at":"a"}`), call(0, "c2", "look", `{"at":"b"}`)}, []string{"c1", "c2"}},
		{"id in every piece", []string{
			call(0, "c1", "look", `{"at":`), call(0, "c1", "look", `"a"}`), call(1, "c2", "look", `{"at":"b"}`),
		}, []string{"c1", "c2"}},
		{"no ids", []string{call(0, "", "look", `{"at":"a"}`), call(1, "", "look", `{"at":"b"}`)}, []string{"", ""}},
		{"one id", []string{call(0, "c", "look", `{"at":"a"}`), call(1, "c", "look", `{"at":"b"}`)}, []string{"c", ""}},
		{"arguments before the name", []string{call(0, "c1", "", `{"at":`), call(0, "", "look", `"a"}`), call(1, "c2", "look", `{"at":"b"}`)}, []string{"c1", "c2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := aguitest.Input("look")
			in.Tools = []agui.Tool{{Name: "look", Description: "looks"}}
			got := aguitest.Run(t, newUpstream(t, deltas("tool_calls", tc.deltas...)).agent(), in)
			got.WantSuccess()
			calls := got.ToolCalls()
			if len(calls) != 2 || calls[0].Arguments != `{"at":"a"}` || calls[1].Arguments != `{"at":"b"}` || calls[0].ID == calls[1].ID {
				t.Fatalf("calls %+v", calls)
			}
			for i, id := range tc.ids {
				if id != "" && calls[i].ID != id {
					t.Errorf("call %d is %s, want %s", i, calls[i].ID, id)
				}
			}
			if pending := got.Thread.Run().PendingToolCallIDs; !slices.Equal(pending, []string{calls[0].ID, calls[1].ID}) {
				t.Errorf("pending %q", pending)
			}
			// They are of one message, as the next request must have them.
			if m := got.Thread.Messages(); len(m) != 2 || len(m[1].ToolCalls) != 2 {
				t.Errorf("messages %+v", m)
			}
		})
	}
}

// TestTextAndCalls: text before, between and after calls is one message, which has the calls.
func TestTextAndCalls(t *testing.T) {
	in := aguitest.Input("look")
	in.Tools = []agui.Tool{{Name: "look"}}
	got := aguitest.Run(t, newUpstream(t, deltas("tool_calls",
		`{"reasoning_content":"first "}`, `{"reasoning":"look"}`, `{"content":"I "}`, `{"content":"look."}`, call(0, "c1", "look", `{}`), `{"content":" And"}`,
		call(1, "c2", "look", `{"n":1}`), `{"content":" wait."}`,
	)).agent(), in)
	got.WantSuccess()
	got.WantText("I look. And wait.")
	if r := got.Reasoning(); !slices.Equal(r, []string{"first look"}) {
		t.Errorf("reasoning %q", r)
	}
	m := got.Thread.Messages()
	if last := m[len(m)-1]; len(m) != 3 || last.Content.Text != "I look. And wait." || len(last.ToolCalls) != 2 {
		t.Errorf("messages %+v", m)
	}
}

func TestRefusal(t *testing.T) {
	u := newUpstream(t, deltas("stop", `{"content":null,"refusal":"I "}`, `{"refusal":"will not."}`), said("Fine."))
	got := aguitest.Run(t, u.agent(), aguitest.Input("do it"))
	got.WantSuccess()
	got.WantText("I will not.")
	if start := aguitest.EventsOf[*agui.TextMessageStart](got); string(start[0].Metadata) != `{"refusal":true}` {
		t.Errorf("metadata %s", start[0].Metadata)
	}
	aguitest.Run(t, u.agent(), got.Next(nil, "then not")).WantText("Fine.")
	if m := string(u.asked()[1].Messages[1]); !strings.Contains(m, `"refusal":"I will not."`) || strings.Contains(m, `"content"`) {
		t.Errorf("the refusal came back as %s", m)
	}
}

// TestCutOff: an answer that is not whole is no success, and what was said stays.
func TestCutOff(t *testing.T) {
	for _, reason := range []string{"length", "content_filter"} {
		got := aguitest.Run(t, newUpstream(t, deltas(reason, `{"content":"so far"}`)).agent(), aguitest.Input())
		got.WantError(reason)
		got.WantText("so far")
		wantUsage(t, got, 1)
	}
	in := aguitest.Input()
	in.Tools = []agui.Tool{{Name: "f"}}
	aguitest.Run(t, newUpstream(t, deltas("length", call(0, "c", "f", `{"a":`))).agent(), in).WantError("length")
}

func TestStreamsThatBreak(t *testing.T) {
	for name, tc := range map[string]struct {
		answer answer
		is     func(error) bool
	}{
		"error in the stream": {func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			w.write(`data: {"error":{"message":"overloaded","type":"server_error"}}` + "\n\n")
		}, func(err error) bool {
			e, ok := errors.AsType[*ssestream.StreamError](err)
			return ok && strings.Contains(e.Message, "overloaded")
		}},
		"end without a finish reason": {func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			w.write("data: [DONE]\n\n")
		}, func(err error) bool { return errors.Is(err, openaichat.ErrTruncated) }},
		"end in a line": {func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			w.write(`data: {"choices":[{"ind`)
		}, func(err error) bool { return errors.Is(err, openaichat.ErrTruncated) }},
		"connection cut": {func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			nc, _, err := w.ResponseWriter.(http.Hijacker).Hijack()
			if err == nil {
				nc.Close()
			}
		}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"nonsense": {func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			w.write("data: nonsense\n\n")
		}, func(err error) bool { return err != nil }},
		"function_call": {
			deltas("function_call", `{"content":"so far"}`, `{"function_call":{"name":"f","arguments":""}}`),
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "function_call") },
		},
		"call without a name": {
			deltas("tool_calls", `{"content":"so far"}`, call(0, "c", "", `{}`), call(0, "d", "f", `{}`)),
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "without a name") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := aguitest.Run(t, newUpstream(t, tc.answer).agent(), aguitest.Input())
			got.WantError(run.CodeAgent)
			got.WantText("so far")
			got.WantInOrder("TEXT_MESSAGE_END", "RUN_ERROR")
			if !tc.is(got.Err) {
				t.Errorf("the error is %v", got.Err)
			}
		})
	}
	got := aguitest.Run(t, newUpstream(t, func(w *response) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		w.write(`{"error":{"message":"slow down","code":"rate_limit"}}`)
	}).agent(), aguitest.Input())
	if end := got.WantError(run.CodeAgent); strings.Contains(end.Message, "slow down") {
		t.Errorf("the client reads %q", end.Message)
	}
	if e, ok := errors.AsType[*openai.Error](got.Err); !ok || e.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the error is %v", got.Err)
	}
}

// TestCancelClosesTheUpstream: while it waits for the model, and while the model waits for the
// reader.
func TestCancelClosesTheUpstream(t *testing.T) {
	gone := make(chan struct{})
	u := newUpstream(t, func(w *response) {
		w.write(chunk(`{"content":"so far"}`, "null"))
		<-w.asked.Context().Done()
		close(gone)
	})
	s := aguitest.Start(t, u.agent(), aguitest.Input())
	aguitest.Await[*agui.TextMessageContent](s)
	s.Cancel(nil)
	got := s.Wait()
	got.WantCancelled()
	got.WantText("so far")
	if !errors.Is(got.Err, run.ErrCancelled) {
		t.Errorf("the error is %v", got.Err)
	}
	testkit.Receive(t, "the upstream to be closed", gone)
}

func TestSlowReaderSlowsTheUpstream(t *testing.T) {
	gone := make(chan struct{})
	u := newUpstream(t, func(w *response) {
		defer close(gone)
		for w.asked.Context().Err() == nil { // without an end, unless nobody reads
			w.write(chunk(`{"content":"`+strings.Repeat("x", 1<<10)+`"}`, "null"))
		}
	})
	s := aguitest.Config{Window: 1}.Start(t, u.agent(), aguitest.Input())
	for range 3 {
		aguitest.Await[*agui.TextMessageContent](s)
	}
	if n := s.Sent(); n > 6 {
		t.Errorf("%d events sent, 5 read", n)
	}
	s.Cancel(nil)
	s.Wait().WantCancelled()
	testkit.Receive(t, "the upstream to be closed", gone)
}

// TestEmitOfAnyStream: the stream may have a context of its own, and only the first choice counts.
func TestEmitOfAnyStream(t *testing.T) {
	blocked := make(chan struct{})
	u := newUpstream(t,
		func(w *response) {
			w.write(strings.Replace(chunk(`{"content":"another"}`, `"stop"`), `"index":0`, `"index":1`, 1))
			w.write(chunk(`{"content":"mine"}`, `"eos"`))
		},
		func(w *response) {
			w.write(chunk(`{"content":"so far"}`, "null"))
			<-w.asked.Context().Done()
			close(blocked)
		})
	ask := func(r *run.Run) openaichat.Stream {
		return u.agent().Client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{Model: "m"})
	}
	got := aguitest.Run(t, run.AgentFunc(func(ctx context.Context, r *run.Run) error {
		reply, err := openaichat.Emit(ctx, r, ask(r))
		if err != nil || reply.Text != "mine" || reply.FinishReason != "eos" || reply.MessageID == "" || len(reply.Calls) != 0 {
			t.Errorf("%+v, %v", reply, err)
		}
		return err
	}), aguitest.Input())
	got.WantSuccess()
	got.WantText("mine")

	s := aguitest.Start(t, run.AgentFunc(func(ctx context.Context, r *run.Run) error {
		_, err := openaichat.Emit(ctx, r, ask(r))
		return err
	}), aguitest.Input())
	aguitest.Await[*agui.TextMessageContent](s)
	s.Cancel(nil)
	s.Wait().WantCancelled()
	testkit.Receive(t, "the upstream to be closed", blocked)
}
