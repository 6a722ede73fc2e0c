package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
)

// peer is the server's side of agloop.v1 as a script: a test reads what the client sends, and sends
// what it likes.
type peer struct {
	agloop.NopHandler
	t     *testing.T
	srv   *agloop.Server
	url   string
	hello chan string // what each connection begins with, in turn; the last one stays
	conns chan *peerConn
}

// peerConn is one connection of a peer.
type peerConn struct {
	*agloop.Conn
	t    *testing.T
	got  chan string
	gone chan *agloop.CloseError
}

const helloProcess = `["hello",{"version":1,"boot":"b1","resumable":"process","limits":{"message":1048576,"attachments":64,"controls":64,"steer":65536}}]`

// newPeer serves a script whose connections begin with the hellos in turn.
func newPeer(t *testing.T, hellos ...string) *peer {
	t.Helper()
	p := &peer{t: t, hello: make(chan string, 100), conns: make(chan *peerConn, 100)}
	if len(hellos) == 0 {
		hellos = []string{helloProcess}
	}
	for i := range 50 {
		p.hello <- hellos[min(i, len(hellos)-1)]
	}
	srv, addr := serve(t, agloop.ServerConfig{Handler: p, Protocols: []string{wireProtocol()}})
	p.srv, p.url = srv, wsURL(addr)
	return p
}

func (p *peer) OnOpen(c *agloop.Conn) {
	pc := &peerConn{c, p.t, make(chan string, 1000), make(chan *agloop.CloseError, 1)}
	c.SetUser(pc)
	for frame := range strings.SplitSeq(<-p.hello, "\n") {
		if frame != "" {
			c.Send(wireOpcode(), wireOf([]byte(frame)))
		}
	}
	p.conns <- pc
}

func (p *peer) OnMessage(c *agloop.Conn, _ agloop.Opcode, payload []byte) {
	c.User().(*peerConn).got <- string(payload)
}

func (p *peer) OnClose(c *agloop.Conn, why *agloop.CloseError) { c.User().(*peerConn).gone <- why }

// accept is the next connection.
func (p *peer) accept() *peerConn {
	p.t.Helper()
	return testkit.Receive(p.t, "a connection", p.conns)
}

// dial connects a client, which is closed with the test.
func (p *peer) dial(edit func(*agloop.ClientConfig)) (*agloop.Client, *peerConn) {
	p.t.Helper()
	cfg := agloop.ClientConfig{Logger: quiet, Protocols: []string{wireProtocol()}}
	cfg.Resume.MinBackoff, cfg.Resume.MaxBackoff = time.Millisecond, 4*time.Millisecond
	if edit != nil {
		edit(&cfg)
	}
	c, err := agloop.Dial(p.t.Context(), p.url, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c, p.accept()
}

// say sends frames.
func (pc *peerConn) say(frames ...string) {
	for _, f := range frames {
		pc.Send(wireOpcode(), wireOf([]byte(f)))
	}
}

// next is the next control that the client sent: its name and its members.
func (pc *peerConn) next() (name string, members map[string]any) {
	pc.t.Helper()
	frame := testkit.Receive(pc.t, "a frame of the client", pc.got)
	name, body, err := control.Parse([]byte(frame))
	if err == nil {
		err = json.Unmarshal(body, &members)
	}
	if err != nil {
		pc.t.Fatalf("%s: %v", frame, err)
	}
	return name, members
}

// want compares the next control with one of that name, and of members as fmt shows them; ref and
// input are left out. It returns the ref.
func (pc *peerConn) want(name string, members ...any) (ref string) {
	pc.t.Helper()
	got, m := pc.next()
	ref, _ = m["ref"].(string)
	if name != control.NameLeave {
		delete(m, "ref")
	}
	delete(m, "input")
	wanted := map[string]any{}
	for i := 0; i+1 < len(members); i += 2 {
		wanted[members[i].(string)] = members[i+1]
	}
	if got != name || fmt.Sprint(m) != fmt.Sprint(wanted) {
		pc.t.Fatalf("the client sent %s %v, want %s %v", got, m, name, wanted)
	}
	return ref
}

// silent fails if the client has sent something.
func (pc *peerConn) silent() {
	pc.t.Helper()
	select {
	case got := <-pc.got:
		pc.t.Errorf("the client sent %s", got)
	default:
	}
}

// wantClosed waits for the end, which the client began with that code.
func (pc *peerConn) wantClosed(code agloop.CloseCode) {
	pc.t.Helper()
	if why := testkit.Receive(pc.t, "the end of the connection", pc.gone); why.Code != code || !why.Remote {
		pc.t.Errorf("the connection ended with %v, want %v of the client's", why, code)
	}
}

// Frames of a server.
const epoch1 = "00f1e2d3c4b5a697"

// selects is the first selector of an attachment.
func selects(number int, ref, runID string, offset int) string {
	return fmt.Sprintf(`["run",{"run":%d,"ref":%q,"threadId":"t","runId":%q,"epoch":%q,"offset":%d,"last":99}]`, number, ref, runID, epoch1, offset)
}

// onto is another selector.
func onto(number, offset int) string {
	return fmt.Sprintf(`["run",{"run":%d,"offset":%d}]`, number, offset)
}

// fold is a selector of one frame for several offsets.
func fold(number, offset, through int) string {
	return fmt.Sprintf(`["run",{"run":%d,"offset":%d,"through":%d}]`, number, offset, through)
}

func startedOf(runID string) string {
	return `{"type":"RUN_STARTED","threadId":"t","runId":"` + runID + `"}`
}

func finishedOf(runID string) string {
	return `{"type":"RUN_FINISHED","threadId":"t","runId":"` + runID + `"}`
}

// says is a CUSTOM event, which needs none before it but RUN_STARTED.
func says(word string) string { return `{"type":"CUSTOM","name":"` + word + `","value":1}` }

// inputFor is the input of a run of thread t.
func inputFor(runID string) *agui.RunAgentInput {
	return &agui.RunAgentInput{ThreadID: "t", RunID: runID}
}

// watch is a loop over a sequence: each event is taken when the test asks for it.
type watch struct {
	t      *testing.T
	words  chan string
	inHand chan struct{} // holds a token for each that the loop has begun with
	leave  context.CancelFunc
	breaks chan struct{}
	done   chan error // the last error, or nil
}

// watching begins a loop over the events of run r.
func watching(t *testing.T, seq func(context.Context) iter.Seq2[agui.Event, error]) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{t, make(chan string), make(chan struct{}, 1000), cancel, make(chan struct{}), make(chan error, 1)}
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); testkit.Receive(t, "the end of the loop", ended) })
	go func() {
		defer close(ended)
		var last error
		defer func() { w.done <- last }()
		for ev, err := range seq(ctx) {
			w.inHand <- struct{}{}
			word := ""
			switch e := ev.(type) {
			case nil:
				last = err
				word = "error: " + err.Error()
				if gone, ok := errors.AsType[*agloop.GoneError](err); ok {
					word = "gone " + gone.Run + " " + gone.Reason
				}
			case *agui.RunStarted:
				last, word = nil, "started "+e.RunID
			case *agui.RunFinished:
				word = "finished " + e.RunID
			case *agui.Custom:
				word = e.Name
			default:
				word = string(ev.Type())
			}
			select {
			case w.words <- word:
			case <-w.breaks:
				return
			case <-t.Context().Done():
				return
			}
		}
		close(w.words)
	}()
	return w
}

// want takes the next words.
func (w *watch) want(words ...string) {
	w.t.Helper()
	for _, word := range words {
		if got := testkit.Receive(w.t, word, w.words); got != word {
			w.t.Fatalf("the loop got %q, want %q", got, word)
		}
	}
}

// wantEnd takes the end of the sequence: without an error, or with one that is target and that the
// loop has not taken yet.
func (w *watch) wantEnd(target error) error {
	w.t.Helper()
	if target != nil {
		testkit.Receive(w.t, "the error", w.words)
	}
	if got, more := <-w.words; more {
		w.t.Fatalf("the loop got %q behind its end", got)
	}
	err := testkit.Receive(w.t, "the end", w.done)
	if !errors.Is(err, target) {
		w.t.Errorf("the sequence ended with %v, want %v", err, target)
	}
	return err
}
