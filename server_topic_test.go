package agloop_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// room subscribes each connection to the topic "room", and publishes there what it says.
type room struct {
	agloop.NopHandler
	srv *agloop.Server
}

func (h *room) OnOpen(c *agloop.Conn) { _, _ = h.srv.Topic("room").Subscribe(c.ID()) }

func (h *room) OnMessage(_ *agloop.Conn, op agloop.Opcode, payload []byte) {
	h.srv.Topic("room").Publish(op, payload)
}

// serveRoom starts a server whose connections are all in one topic.
func serveRoom(t *testing.T, cfg agloop.ServerConfig) (*agloop.Server, string) {
	h := new(room)
	cfg.Handler = h
	h.srv = agloop.NewServer(cfg)
	return serveNew(t, h.srv)
}

// TestTopic: on two loops each subscriber gets what is published, once and in order, however large, and what is
// sent to it alone comes in its place.
func TestTopic(t *testing.T) {
	const peers, rounds = 20, 50
	srv, addr := serveRoom(t, agloop.ServerConfig{Loops: 2})
	var all []*testkit.Peer
	for range peers {
		all = append(all, testkit.Dial(t, addr))
	}
	testkit.Await(t, "all are there", func() bool { return srv.Topic("room").Count() == peers })
	message := func(i int) string { return fmt.Sprint(i, " ", strings.Repeat("x", i*i*i%70_000)) }
	go func() {
		for i := range rounds {
			srv.Topic("room").Publish(agloop.Text, []byte(message(i)))
			srv.Conns(func(c *agloop.Conn) { c.Send(agloop.Text, []byte(fmt.Sprint("alone ", i))) })
		}
	}()
	var reading sync.WaitGroup
	for _, p := range all {
		reading.Go(func() {
			for i := range rounds {
				for _, want := range []string{message(i), fmt.Sprint("alone ", i)} {
					if _, got, err := p.Message(); err != nil || string(got) != want {
						t.Errorf("got %.20q, %v, want %.20q", got, err, want)
						return
					}
				}
			}
		})
	}
	reading.Wait()
	if f := srv.Stats().Topics; f.Topics != 1 || f.Subscriptions != peers || f.Published != rounds || f.Delivered < peers*rounds {
		t.Errorf("%+v", f)
	}
	for _, p := range all {
		p.Close()
	}
	testkit.Await(t, "the topic is gone", func() bool { return srv.Stats().Topics.Topics == 0 })
}

// TestTopicFromCallbacks: a handler that publishes and then replies is heard in that order, by itself, too.
func TestTopicFromCallbacks(t *testing.T) {
	h := new(publisher)
	h.srv = agloop.NewServer(agloop.ServerConfig{Handler: h})
	_, addr := serveNew(t, h.srv)
	p, other := testkit.Dial(t, addr), testkit.Dial(t, addr)
	testkit.Await(t, "both are there", func() bool { return h.srv.Topic("t").Count() == 2 })
	for i := range 20 {
		said := fmt.Sprint(i)
		p.Put(testkit.Text(said))
		for _, want := range []string{"to all " + said, "reply " + said, "more to all " + said, "sent " + said} {
			p.WantMessage(frame.Text, want)
		}
		other.WantMessage(frame.Text, "to all "+said)
		other.WantMessage(frame.Text, "more to all "+said)
	}
}

type publisher struct {
	agloop.NopHandler
	srv *agloop.Server
}

func (h *publisher) OnOpen(c *agloop.Conn) { _, _ = h.srv.Topic("t").Subscribe(c.ID()) }

func (h *publisher) OnMessage(c *agloop.Conn, op agloop.Opcode, said []byte) {
	h.srv.Topic("t").Publish(op, append([]byte("to all "), said...))
	c.Reply(op, append([]byte("reply "), said...))
	h.srv.Topic("t").Publish(op, append([]byte("more to all "), said...))
	c.Send(op, append([]byte("sent "), said...))
}

// TestTopicHistory: a client that comes back behind its cursor misses nothing.
func TestTopicHistory(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{
		Handler: echo{},
		Topics:  func(name string) agloop.TopicConfig { return agloop.TopicConfig{History: 3} },
	})
	topic := srv.Topic("t")
	publish := func(text string) agloop.Cursor {
		return topic.PublishFunc(agloop.Text, func(at agloop.Cursor) []byte { return []byte(at.String() + " " + text) })
	}
	p := testkit.Dial(t, addr)
	var id agloop.ConnID
	testkit.Await(t, "it is there", func() bool {
		srv.Conns(func(c *agloop.Conn) { id = c.ID() })
		return id != 0
	})
	first := publish("1")
	var rest []agloop.Cursor
	for _, text := range []string{"2", "3", "4"} {
		rest = append(rest, publish(text))
	}
	at, err := topic.SubscribeAfter(id, rest[0])
	if err != nil || at != rest[2] {
		t.Fatalf("%v, %v", at, err)
	}
	for i, text := range []string{"3", "4"} {
		p.WantMessage(frame.Text, rest[i+1].String()+" "+text)
	}
	p.WantMessage(frame.Text, publish("5").String()+" 5")
	if entries, err := topic.History(rest[1]); err != nil || len(entries) != 2 || entries[0].At.Offset != rest[2].Offset {
		t.Errorf("%v, %v", entries, err)
	}
	for _, gone := range []agloop.Cursor{first, {Epoch: first.Epoch + 1, Offset: 3}, {Epoch: first.Epoch, Offset: 99}} {
		if _, err := topic.History(gone); err != agloop.ErrGone {
			t.Errorf("%v: %v", gone, err)
		}
		if _, err := srv.Topic("t").SubscribeAfter(id, gone); err != nil { // who subscribes already stays as it is
			t.Errorf("%v: %v", gone, err)
		}
	}
	topic.Unsubscribe(id)
	if _, err := topic.SubscribeAfter(id, first); err != agloop.ErrGone {
		t.Errorf("%v", err)
	}
}

// TestTopicErrors: what is asked for and cannot be.
func TestTopicErrors(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{Handler: echo{}, Quotas: agloop.Quotas{TopicsPerConn: 1}})
	p := testkit.Dial(t, addr)
	var id agloop.ConnID
	testkit.Await(t, "it is there", func() bool {
		srv.Conns(func(c *agloop.Conn) { id = c.ID() })
		return id != 0
	})
	if _, err := srv.Topic("").Subscribe(id); err != nil { // any name will do
		t.Error(err)
	}
	if _, err := srv.Topic("u").Subscribe(id); err != agloop.ErrTooManyTopics {
		t.Errorf("%v", err)
	}
	if err := srv.Topic("u").SubscribeThread(agloop.RunKey{Thread: "t"}); err == nil {
		t.Error("a thread of a server without an Agent")
	}
	if srv.Topic("u").Unsubscribe(id) || srv.Topic("u").Unsubscribe(12345) || srv.Topic("u").Publish(agloop.Text, nil) != (agloop.Cursor{}) {
		t.Error("of a topic that is not there")
	}
	p.HangUp()
	testkit.Await(t, "it is gone", func() bool { return srv.Stats().Topics.Subscriptions == 0 })
	for _, gone := range []agloop.ConnID{id, 0, 12345} {
		if _, err := srv.Topic("t").Subscribe(gone); err != agloop.ErrNoConn {
			t.Errorf("%v", err)
		}
	}
	agents, _ := serveEach(t, agloop.ServerConfig{Agent: steps(nil)})
	if _, err := agents.Topic("t").Subscribe(id); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// slowRoom is a topic of one policy with a subscriber that reads little and one that reads.
func slowRoom(t *testing.T, cfg agloop.TopicConfig) (srv *agloop.Server, slow, fast *testkit.Peer) {
	srv, addr := serveRoom(t, agloop.ServerConfig{
		Limits: agloop.Limits{SoftLimit: 128 << 10, HardLimit: 512 << 10, WriteTimeout: -1},
		Topics: func(string) agloop.TopicConfig { return cfg },
	})
	slow = testkit.Connect(t, addr, 4096)
	slow.Upgrade()
	fast = testkit.Dial(t, addr)
	testkit.Await(t, "both are there", func() bool { return srv.Topic("room").Count() == 2 })
	return srv, slow, fast
}

func tick(i int) string { return fmt.Sprintf("%d:%d %s", i%3, i, strings.Repeat("x", 20_000)) }

// TestTopicSlowIsCut: by its own limits or by the topic's policy, and nobody else is.
func TestTopicSlowIsCut(t *testing.T) {
	for name, slow := range map[string]agloop.Slow{"limits": agloop.SlowLimits, "cut": agloop.SlowCut} {
		t.Run(name, func(t *testing.T) {
			srv, _, fast := slowRoom(t, agloop.TopicConfig{Slow: slow})
			var waited int
			for i := 0; srv.Topic("room").Count() == 2; i++ {
				srv.Topic("room").Publish(agloop.Text, []byte(tick(i)))
				fast.WantMessage(frame.Text, tick(i))
				srv.Conns(func(c *agloop.Conn) { waited = max(waited, c.Buffered()) })
			}
			if n := srv.Stats().SlowCuts; n != 1 {
				t.Errorf("%d were cut", n)
			}
			if name == "cut" && waited > 160<<10 || name == "limits" && waited < 400<<10 {
				t.Errorf("up to %d bytes waited", waited)
			}
		})
	}
}

// TestTopicSlowIsGivenTheNewest: who reads too slowly misses what is old, of the topic or of each key, and
// is not cut.
func TestTopicSlowIsGivenTheNewest(t *testing.T) {
	key := func(p []byte) string { k, _, _ := strings.Cut(string(p), ":"); return k }
	for name, cfg := range map[string]agloop.TopicConfig{
		"latest": {Slow: agloop.SlowLatest}, "by key": {Slow: agloop.SlowCoalesce, Key: key},
	} {
		t.Run(name, func(t *testing.T) {
			srv, slow, fast := slowRoom(t, cfg)
			const last = 2000
			for i := range last + 1 {
				srv.Topic("room").Publish(agloop.Text, []byte(tick(i)))
				fast.WantMessage(frame.Text, tick(i))
			}
			var got []int
			for len(got) == 0 || got[len(got)-1] != last {
				_, p, err := slow.Message()
				if err != nil {
					t.Fatal(err)
				}
				var class, i int
				if _, err := fmt.Sscanf(string(p), "%d:%d", &class, &i); err != nil || string(p) != tick(i) {
					t.Fatalf("%.20q: %v", p, err)
				}
				if len(got) > 0 && i <= got[len(got)-1] {
					t.Fatalf("%d after %d", i, got[len(got)-1])
				}
				got = append(got, i)
			}
			want := 1
			if name == "by key" {
				want = 3
			}
			for i := range want { // the newest of each
				if got[len(got)-1-i] != last-i {
					t.Errorf("the last are %v", got[len(got)-want:])
				}
			}
			if n := srv.Stats().Topics.Replaced; len(got)+int(n) != last+1 || n == 0 {
				t.Errorf("%d came, %d were replaced", len(got), n)
			}
			if n := srv.Stats().SlowCuts; n != 0 {
				t.Errorf("%d were cut", n)
			}
		})
	}
}

// TestTopicOfThreads: a message is an event of the run that is live, in its log like others, and none where no
// run is.
func TestTopicOfThreads(t *testing.T) {
	gate, agent := gated()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent})
	news := srv.Topic("news")
	key := agloop.RunKey{Scope: "ann", Thread: "t"}
	for range 2 { // the second changes nothing
		if err := news.SubscribeThread(key); err != nil {
			t.Fatal(err)
		}
	}
	news.Publish(agloop.Text, []byte(`"before"`))
	testkit.Await(t, "it went nowhere", func() bool { return srv.Stats().Topics.Delivered == 1 })
	c := newViewer(t, addr, "ann")
	c.start("1", namedInput("t", "r"))
	c.await("RUN_STARTED")
	testkit.Await(t, "the agent is called", func() bool { return srv.Live() == 1 })
	for _, m := range []string{`{"n":1}`, `no JSON`, `[3]`} {
		news.Publish(agloop.Text, []byte(m))
	}
	for _, want := range []string{`{"n":1}`, `"no JSON"`, `[3]`} {
		ev := c.await("CUSTOM").body
		var custom struct {
			Name  string
			Value json.RawMessage
		}
		if err := json.Unmarshal(ev, &custom); err != nil || custom.Name != "news" || string(custom.Value) != want {
			t.Errorf("got %s, %v, want %s", ev, err, want)
		}
	}
	if got := fmt.Sprint(news.Presence()); got != "map[ann:1]" {
		t.Errorf("present: %s", got)
	}
	if !news.UnsubscribeThread(key) || news.UnsubscribeThread(key) {
		t.Error("UnsubscribeThread")
	}
	news.Publish(agloop.Text, []byte(`"after"`))
	pass(gate, 1)
	c.await("RUN_FINISHED")
}
