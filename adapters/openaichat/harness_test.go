package openaichat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop/adapters/openaichat"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// upstream is a server that speaks the API: each request is answered by the next answer.
type upstream struct {
	t       testing.TB
	url     string
	answers []answer

	// Any goroutine, under mu.
	mu       sync.Mutex
	requests []request
}

// answer writes a response.
type answer func(w *response)

// request is what the upstream was asked.
type request struct {
	Model    string
	Stream   bool
	Messages []json.RawMessage
	Tools    []struct {
		Function struct {
			Name       string
			Parameters json.RawMessage
		}
	}
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Temperature *float64
}

func newUpstream(t testing.TB, answers ...answer) *upstream {
	t.Helper()
	u := &upstream{t: t, answers: answers}
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	u.url = srv.URL
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req request
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	if err != nil || r.URL.Path != "/chat/completions" || !req.Stream || r.Header.Get("Authorization") != "Bearer key" {
		u.t.Errorf("asked %s: %s, %v", r.URL.Path, body, err)
	}
	u.mu.Lock()
	n := len(u.requests)
	u.requests = append(u.requests, req)
	u.mu.Unlock()
	if n >= len(u.answers) {
		u.t.Errorf("asked %d times", n+1)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	u.answers[n](&response{w, r})
}

// asked are the requests so far.
func (u *upstream) asked() []request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// agent is an agent whose model is the upstream.
func (u *upstream) agent(tools ...openaichat.Tool) *openaichat.Agent {
	return &openaichat.Agent{
		Client: openai.NewClient(option.WithBaseURL(u.url), option.WithAPIKey("key"), option.WithMaxRetries(0)),
		Model:  "model-1", Tools: tools,
	}
}

// response is a response that is being written.
type response struct {
	http.ResponseWriter
	asked *http.Request
}

func (w *response) write(p string) {
	_, _ = io.WriteString(w.ResponseWriter, p)
	w.ResponseWriter.(http.Flusher).Flush()
}

// deltas answers with chunks of these deltas, then a finish reason, usage and [DONE].
func deltas(reason string, list ...string) answer {
	return func(w *response) {
		for _, d := range list {
			w.write(chunk(d, "null"))
		}
		w.write(chunk("{}", `"`+reason+`"`))
		w.write(usage)
		w.write("data: [DONE]\n\n")
	}
}

// said answers with a text.
func said(pieces ...string) answer {
	list := []string{`{"role":"assistant","content":"","refusal":null}`}
	for _, p := range pieces {
		list = append(list, `{"content":`+quote(p)+`}`)
	}
	return deltas("stop", list...)
}

// chunk is one chunk of the first choice.
func chunk(delta, reason string) string {
	return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"model-1-exact","choices":[` +
		`{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + reason + `}],"usage":null}` + "\n\n"
}

const usage = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"model-1-exact","choices":[],"usage":` +
	`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},` +
	`"completion_tokens_details":{"reasoning_tokens":2}}}` + "\n\n"

// call is a piece of a call, with the id and name that are not "".
func call(index int, id, name, args string) string {
	var members []string
	if id != "" {
		members = append(members, `"id":`+quote(id), `"type":"function"`)
	}
	f := `"arguments":` + quote(args)
	if name != "" {
		f = `"name":` + quote(name) + `,` + f
	}
	return fmt.Sprintf(`{"tool_calls":[{"index":%d,%s}]}`, index, strings.Join(append(members, `"function":{`+f+`}`), ","))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
