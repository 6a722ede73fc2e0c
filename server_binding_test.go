package agloop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// sse is a client of the HTTP binding, as plain as one can be.
type sse struct {
	t    *testing.T
	base string
	// fields of each request
	header http.Header
}

func newSSE(t *testing.T, addr string) *sse {
	return &sse{t: t, base: "http://" + addr + "/agui", header: http.Header{}}
}

// as is the same client with one more field.
func (c *sse) as(name, value string) *sse {
	header := c.header.Clone()
	header.Set(name, value)
	return &sse{c.t, c.base, header}
}

// do sends a request.
func (c *sse) do(method, path, body string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { res.Body.Close() })
	return res
}

// open sends a request that is answered by a stream.
func (c *sse) open(method, path, body string) *sseStream {
	c.t.Helper()
	res := c.do(method, path, body)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(res.Body)
		c.t.Fatalf("%s %s: %s %q %s", method, path, res.Status, res.Header.Get("Content-Type"), text)
	}
	return &sseStream{c.t, res, bufio.NewReader(res.Body)}
}

// wants sends a request that fails, and checks how.
func (c *sse) wants(method, path, body string, status int, code, field string) *http.Response {
	c.t.Helper()
	res := c.do(method, path, body)
	var problem struct{ Code, Field, Message string }
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &problem); err != nil {
		c.t.Errorf("%s %s: %s: %q: %v", method, path, res.Status, text, err)
	}
	if res.StatusCode != status || problem.Code != code || problem.Field != field || problem.Message == "" {
		c.t.Errorf("%s %s: %s %s", method, path, res.Status, text)
	}
	return res
}

// sseStream is a stream of events.
type sseStream struct {
	t   *testing.T
	res *http.Response
	r   *bufio.Reader
}

// sseEvent is one of them, "" for a comment.
type sseEvent struct{ id, kind, data string }

// next reads one event, or how the stream ends.
func (s *sseStream) next() (e sseEvent, err error) {
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return e, err
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "":
			return e, nil
		case strings.HasPrefix(line, ":"):
		case strings.HasPrefix(line, "id: "):
			e.id = line[4:]
		case strings.HasPrefix(line, "data: ") && e.data == "":
			e.data = line[6:]
			var typed struct{ Type string }
			if err := json.Unmarshal([]byte(e.data), &typed); err != nil {
				s.t.Fatalf("%q: %v", line, err)
			}
			e.kind = typed.Type
		default:
			s.t.Fatalf("%q in a stream", line)
		}
	}
}

// rest reads to the end, which must be one.
func (s *sseStream) rest() (events []sseEvent) {
	s.t.Helper()
	for {
		e, err := s.next()
		if err == io.EOF {
			return events
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if e.kind != "" {
			events = append(events, e)
		}
	}
}

func kindsOf(events []sseEvent) string {
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.kind)
	}
	return strings.Join(kinds, " ")
}

// TestPostStartsARun: a POST is answered by the events of the run, each with its place in the log.
func TestPostStartsARun(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	s := newSSE(t, addr).open("POST", "", inputOf("r", 0))
	events := s.rest()
	if got := kindsOf(events); got != helloTypes {
		t.Errorf("got %s", got)
	}
	epoch, _, _ := strings.Cut(events[0].id, "-")
	for i, e := range events {
		if want := fmt.Sprintf("%s-%d", epoch, i+1); e.id != want {
			t.Errorf("event %d has id %q, want %q", i, e.id, want)
		}
	}
	if len(s.res.Header.Get("Agloop-Secret")) < 20 {
		t.Errorf("%v", s.res.Header)
	}
}

// steps is an agent that emits a CUSTOM event for each value that it is sent, and returns when there
// are no more.
func steps(values <-chan string) agloop.Agent {
	return agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		for {
			select {
			case v, ok := <-values:
				if !ok {
					return nil
				}
				raw, _ := json.Marshal(v)
				if err := r.Emit(&agui.Custom{Name: "step", Value: raw}); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// TestOneHub: a run that was started over WebSocket is joined by SSE and cancelled by DELETE.
func TestOneHub(t *testing.T) {
	values := make(chan string)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: steps(values)})
	v := newViewer(t, addr, "ann")
	v.start("a", inputOf("r", 0))
	v.await("RUN_STARTED")
	values <- "one"
	ann := newSSE(t, addr).as("Authorization", "ann")
	s := ann.open("GET", "/t/r", "")
	for _, want := range []string{"RUN_STARTED", "CUSTOM"} {
		if e, err := s.next(); err != nil || e.kind != want {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	newSSE(t, addr).as("Authorization", "bob").wants("GET", "/t/r", "", 404, "gone", "")
	if res := ann.do("DELETE", "/t/r", ""); res.StatusCode != 204 {
		t.Errorf("%s", res.Status)
	}
	if events := s.rest(); kindsOf(events) != "RUN_FINISHED" || !strings.Contains(events[0].data, `"cancelled"`) {
		t.Errorf("%v", events)
	}
}
