package agloop_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

// transcript is a file of testdata/protocol: what a server and a client say to each other, one frame
// a line. A line with close instead of a frame ends the connection; what follows is said on the
// next one. A test plays the server's lines to the real client and holds its frames against the
// client's lines.
type transcript struct {
	t     *testing.T
	lines []said
	peer  *peer
	conn  *peerConn
	c     *agloop.Client
	ids   *strings.Replacer // of steers: the client's for the file's
}

type said struct {
	From  string          `json:"from"`
	Frame json.RawMessage `json:"frame"`
	Close int             `json:"close"`
}

func readTranscript(t *testing.T, path string) (lines []said) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range bytes.Lines(text) {
		var one said
		dec := json.NewDecoder(bytes.NewReader(l))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&one); err != nil || one.From != "server" && one.From != "client" || (one.Close == 0) == (one.Frame == nil) {
			t.Fatalf("%s: %s: %v", path, l, err)
		}
		lines = append(lines, one)
	}
	return lines
}

// begin dials the server of a transcript, up to the first line of the client's.
func begin(t *testing.T, name string, edit func(*agloop.ClientConfig)) *transcript {
	t.Helper()
	tr := &transcript{t: t, lines: readTranscript(t, filepath.Join("testdata/protocol", name+".ndjson")), ids: strings.NewReplacer()}
	var hellos []string
	for _, l := range tr.lines {
		if tr.isHello(l) {
			hellos = append(hellos, string(l.Frame))
		}
	}
	tr.peer = newPeer(t, hellos...)
	tr.c, tr.conn = tr.peer.dial(edit)
	tr.lines = tr.lines[1:] // hello
	tr.server()
	return tr
}

func (tr *transcript) isHello(l said) bool { return bytes.HasPrefix(l.Frame, []byte(`["hello",`)) }

// server plays the lines up to the next frame of the client's.
func (tr *transcript) server() {
	tr.t.Helper()
	for len(tr.lines) > 0 && (tr.lines[0].From == "server" || tr.lines[0].Close != 0) {
		tr.step()
	}
}

// step plays one line of the server's, or the end of a connection.
func (tr *transcript) step() {
	tr.t.Helper()
	l := tr.lines[0]
	tr.lines = tr.lines[1:]
	switch {
	case tr.isHello(l):
		tr.conn = tr.peer.accept() // which says it
	case l.Close == 0:
		tr.conn.say(tr.ids.Replace(string(l.Frame)))
	case l.From == "server":
		tr.conn.Close(agloop.CloseCode(l.Close), "")
	default:
		tr.conn.wantClosed(agloop.CloseCode(l.Close))
	}
}

// client holds the next frame of the client against its line, and then plays on.
func (tr *transcript) client() {
	tr.t.Helper()
	tr.clientAlone()
	tr.server()
}

// clientAlone is client without playing on.
func (tr *transcript) clientAlone() {
	tr.t.Helper()
	if len(tr.lines) == 0 || tr.lines[0].From != "client" {
		tr.t.Fatalf("the client has no line here: %+v", tr.lines)
	}
	l := tr.lines[0]
	tr.lines = tr.lines[1:]
	got := testkit.Receive(tr.t, string(l.Frame), tr.conn.got)
	if name, body, err := control.Parse(l.Frame); err == nil && name == control.NameSteer {
		var want, sent control.Steer
		_, gotBody, err := control.Parse([]byte(got))
		if json.Unmarshal(body, &want) != nil || err != nil || json.Unmarshal(gotBody, &sent) != nil {
			tr.t.Fatalf("%s, and the client sent %s", l.Frame, got)
		}
		tr.ids = strings.NewReplacer(`"`+want.ID+`"`, `"`+sent.ID+`"`)
	}
	if want := tr.ids.Replace(string(l.Frame)); !sameJSON(got, want) {
		tr.t.Errorf("the client sent\n%s\nwant\n%s", got, want)
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// input is that of the next line of the client's.
func (tr *transcript) input() *agui.RunAgentInput {
	tr.t.Helper()
	var start control.Start
	_, body, err := control.Parse(tr.lines[0].Frame)
	if err == nil {
		err = json.Unmarshal(body, &start)
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	in, _, err := event.DecodeRunAgentInput(start.Input)
	if err != nil {
		tr.t.Fatal(err)
	}
	return in
}

// run begins the run of the next line of the client's, which is checked.
func (tr *transcript) run() *watch {
	tr.t.Helper()
	w := running(tr.t, tr.c, tr.input())
	tr.client()
	return w
}

// attach begins an attachment, and checks what the client sends for it.
func (tr *transcript) attach(runID, from string) *watch {
	tr.t.Helper()
	var at agloop.Cursor
	if from != "" {
		var err error
		if at, err = agloop.ParseCursor(epoch1 + "-" + from); err != nil {
			tr.t.Fatal(err)
		}
	}
	w := attaching(tr.t, tr.c, runID, at)
	tr.client()
	return w
}

// follow begins to follow the thread.
func (tr *transcript) follow() *watch {
	tr.t.Helper()
	w := following(tr.t, tr.c)
	tr.client()
	return w
}

const text3 = "TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END"

// transcripts is how a client comes to say its lines.
var transcripts = map[string]func(t *testing.T, name string){
	"start": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		w.want("started r", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "finished r")
		w.wantEnd(nil)
	},
	"start-again": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		tr.client()
		w.want("started r", "finished r")
		w.wantEnd(nil)
	},
	"several": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		a := tr.run()
		a.want("started a")
		b := tr.run()
		b.want("started b")
		b.want(strings.Fields(text3)...)
		b.want("finished b")
		a.want(strings.Fields(text3)...)
		a.want("finished a")
	},
	"attach": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.attach("r", "4")
		w.want("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END")
		testkit.Await(t, "the end is near", func() bool { return tr.c.Cursor("t", "r").Offset == 10 })
		w.want("finished r")
		w.wantEnd(nil)
	},
	"attach-start": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.attach("r", "")
		w.want("started r", "STATE_SNAPSHOT")
		w.want(strings.Fields(text3)...)
		w.want("finished r")
		w.wantEnd(nil)
	},
	"follow": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.follow()
		w.want("started a", "finished a", "gone b trimmed", "started c", "finished c", "started d", "finished d")
		w.leave()
		tr.client()
	},
	"follow-after": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := following(t, tr.c)
		tr.clientAlone()
		for len(tr.lines) > 0 && tr.lines[0].Close == 0 {
			tr.step()
		}
		w.want("started a", "TEXT_MESSAGE_START") // before the connection ends
		tr.server()
		tr.client()
		w.want("TEXT_MESSAGE_END", "finished a", "started b", "finished b")
	},
	"leave": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		w.want("started r")
		testkit.Await(t, "RUN_STARTED is applied", func() bool { return tr.c.Cursor("t", "r").Offset == 1 })
		w.leave()
		tr.client()
		w = tr.attach("r", "1")
		w.want(strings.Fields(text3)...)
		w.want("finished r")
	},
	"leave-back": func(t *testing.T, name string) {
		tr := begin(t, name, func(cfg *agloop.ClientConfig) { cfg.MaxPending = 600 }) // of one small event
		w := running(t, tr.c, tr.input())
		tr.clientAlone()
		tr.step()
		tr.step()
		testkit.Receive(t, "RUN_STARTED", w.inHand)
		tr.server()
		tr.client() // leaves
		w.want("started r", "TEXT_MESSAGE_START")
		tr.clientAlone() // comes back
		for _, words := range []string{"TEXT_MESSAGE_CONTENT", "", "TEXT_MESSAGE_END", "finished r"} {
			if words == "TEXT_MESSAGE_CONTENT" {
				tr.step() // the selector of the fold
			}
			tr.step()
			if words != "" {
				w.want(words)
			}
		}
		w.wantEnd(nil)
	},
	"cancel": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		w.want("started r", "TEXT_MESSAGE_START")
		if err := tr.c.Cancel(t.Context(), "t", "r"); err != nil {
			t.Error(err)
		}
		tr.client()
		w.want("TEXT_MESSAGE_END", "finished r")
		w.wantEnd(nil)
	},
	"steer": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		w.want("started r")
		for _, text := range []string{"in French", "too late"} {
			answers := make(chan bool, 1)
			go func() {
				ok, err := tr.c.Steer(t.Context(), "t", "r", text)
				if err != nil {
					t.Error(err)
				}
				answers <- ok
			}()
			tr.client()
			if got := testkit.Receive(t, "the answer", answers); got != (text == "in French") {
				t.Errorf("%q is accepted: %v", text, got)
			}
		}
		w.want(strings.Fields(text3)...)
		w.want("finished r")
	},
	"gone": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		tr.attach("r", "4").want("gone r trimmed")
		tr.run().want("gone old ended")
		tr.attach("nobody", "").want("gone nobody ")
	},
	"conflict": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		tr.run().wantEnd(agloop.ErrConflict)
	},
	"rejected": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		tr.run().want("error: agloop: the server refused: invalid_input: messages: one too many")
		tr.run().want("error: agloop: the server refused: thread_busy")
	},
	"bind": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		tr.client()
		tr.client()
		w.want("started r", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "finished r")
		w.wantEnd(nil)
	},
	"going": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := running(t, tr.c, tr.input())
		tr.clientAlone()
		for len(tr.lines) > 0 && tr.lines[0].Close == 0 {
			tr.step()
		}
		w.want("started r", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "finished r")
		w.wantEnd(nil)
		tr.server()
		w = tr.run()
		w.want("started s", "finished s")
	},
	"going-durable": func(t *testing.T, name string) {
		tr := begin(t, name, nil)
		w := tr.run()
		tr.client()
		w.want("started r", "finished r")
		w.wantEnd(nil)
	},
	// A client of Go sends its token with the opening handshake.
	"auth": func(t *testing.T, name string) {
		for _, l := range readTranscript(t, filepath.Join("testdata/protocol", name+".ndjson")) {
			if !json.Valid(l.Frame) {
				t.Errorf("%s", l.Frame)
			}
		}
	},
}

// TestTranscripts plays each file of testdata/protocol.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/protocol/*.ndjson")
	if err != nil || len(files) != len(transcripts) {
		t.Errorf("%d files, %d ways to play them, %v", len(files), len(transcripts), err)
	}
	for name, play := range transcripts {
		t.Run(name, func(t *testing.T) { play(t, name) })
	}
}

// TestTranscriptsAreListed: docs/protocol.md refers to each.
func TestTranscriptsAreListed(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range transcripts {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/protocol.md says nothing of %s", name)
		}
	}
}

// TestProtocolPageNamesAll: docs/protocol.md has a row for each control frame, with its members.
func TestProtocolPageNamesAll(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]any{
		control.NameHello: control.Hello{}, control.NameRun: control.Run{}, control.NameGone: control.Gone{},
		control.NameConflict: control.Conflict{}, control.NameRejected: control.Rejected{},
		control.NameSteered: control.Steered{}, control.NameIdle: control.Idle{}, control.NameGoing: control.Going{},
		control.NameAuth: control.Auth{}, control.NameBind: control.Bind{}, control.NameStart: control.Start{},
		control.NameAttach: control.Attach{}, control.NameFollow: control.Follow{}, control.NameLeave: control.Leave{},
		control.NameCancel: control.Cancel{}, control.NameSteer: control.Steer{},
	} {
		_, row, ok := strings.Cut(string(page), "\n| `"+name+"` |")
		if row, _, _ = strings.Cut(row, "\n"); !ok {
			t.Errorf("%s has no row", name)
		}
		for field := range reflect.TypeOf(body).Fields() {
			if member, _, _ := strings.Cut(field.Tag.Get("json"), ","); !strings.Contains(row, member) {
				t.Errorf("the row of %s says nothing of %s", name, member)
			}
		}
	}
}
