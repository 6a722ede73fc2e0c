package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestR10LiveBehindReplay: elsewhere (Cloudflare agents #795) who came back got live events before what it
// had missed. Here a run goes on at full speed while viewers are given a long replay, one of which does not
// read: what is live comes behind all of the replay.
func TestR10LiveBehindReplay(t *testing.T) {
	const missed, live = 400, 2000
	p := newPuppets(t)
	srv, addr := serveTight(t, agloop.ServerConfig{Agent: p, Limits: agloop.Limits{SoftLimit: 16 << 10, WriteTimeout: -1}})
	first := newViewer(t, addr, "ann")
	first.start("1", namedInput("t", "r"))
	first.events(1)
	for n := uint64(2); n <= missed; n += 10 { // few at a time, so that this one is never behind
		p.count("r", n, n+9, 1000)
		first.events(10)
	}
	at := first.attachments[1].cursor()
	at.Offset = 1
	stuck := newNarrowViewer(t, addr, "ann")
	viewers := []*viewer{stuck}
	for range 4 {
		viewers = append(viewers, newViewer(t, addr, "ann"))
	}
	p.of("r") <- func(r *agloop.Run) (err error) { // and this goes on
		for n := missed + 2; n <= live && err == nil; n++ {
			err = r.Emit(&agui.Custom{Name: fmt.Sprint(n), Value: []byte("1")})
		}
		return err
	}
	for _, v := range viewers {
		v.attachAt("1", "t", "r", at)
	}
	testkit.Await(t, "a replay is stuck", func() bool { return oneFull(srv) })
	ended := uint64(live + 1)
	close(p.of("r"))
	for _, v := range append(viewers[1:], first, stuck) {
		for {
			f := v.next()
			var ev struct{ Name string }
			v.into(f, &ev)
			if f.name == "RUN_FINISHED" && f.first == ended {
				break
			}
			if ev.Name != fmt.Sprint(f.first) {
				t.Fatalf("offset %d is that of %s %s", f.first, f.name, ev.Name)
			}
		}
	}
}

// numbered is an agent whose runs say pieces that are their own offsets, as fast as they are heard, n of
// them.
func numbered(n int) agloop.Agent {
	return agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		m, err := r.TextMessage()
		for i := 3; i < n+3 && err == nil; i++ {
			err = m.Write(fmt.Sprint(i, " "))
		}
		return errors.Join(err, m.Close())
	})
}

// wantNumbers fails unless a frame of such a run has the pieces of the offsets that it stands for.
func (v *viewer) wantNumbers(f seen) {
	v.t.Helper()
	var ev struct{ Delta string }
	if f.name != "TEXT_MESSAGE_CONTENT" {
		return
	}
	v.into(f, &ev)
	var want strings.Builder
	for i := f.first; i <= f.through; i++ {
		fmt.Fprint(&want, i, " ")
	}
	if ev.Delta != want.String() {
		v.t.Fatalf("%d to %d of %s is %.100q, want %.100q", f.first, f.through, f.of.Ref, ev.Delta, want.String())
	}
}

// TestR10ChangeToLive: elsewhere (jetstream-legacy #42) events were lost, and changed their places, when a
// viewer went from the replay to what is live. Here viewers come all the time while a run goes on at full
// speed, and behind its end: each gets every offset behind its cursor, once and in order.
func TestR10ChangeToLive(t *testing.T) {
	const pieces, end = 2000, 2000 + 4
	_, addr := serveEach(t, agloop.ServerConfig{Agent: numbered(pieces), Runs: agloop.RunsConfig{WindowEvents: 64}})
	fast := newViewer(t, addr, "ann")
	fast.start("1", namedInput("t", "r"))
	rnd := rand.New(rand.NewPCG(1, 42))
	var late []*viewer
	join := func(head uint64) {
		v := newViewer(t, addr, "ann")
		at := fast.attachments[1].cursor()
		if at.Offset = head; len(late)%2 == 0 {
			at.Offset = 1 + rnd.Uint64N(head)
		}
		v.attachAt("1", "t", "r", at)
		late = append(late, v)
	}
	for {
		f := fast.next()
		if fast.wantNumbers(f); f.name == "RUN_FINISHED" {
			break
		}
		if f.through%100 == 99 {
			join(f.through)
		}
	}
	for range 5 {
		join(pieces)
	}
	folds := 0
	for i, v := range late {
		for f := v.next(); ; f = v.next() {
			if f.of == nil {
				t.Fatalf("viewer %d: %s %s", i, f.name, f.body)
			}
			if v.wantNumbers(f); f.through > f.first {
				folds++
			}
			if f.name == "RUN_FINISHED" {
				if f.through != end || !strings.Contains(string(f.body), `"r"`) {
					t.Errorf("viewer %d: the end is %d %s", i, f.through, f.body)
				}
				break
			}
		}
	}
	if folds == 0 {
		t.Error("nothing was folded")
	}
}

// TestR20SecondTab: elsewhere (Cloudflare agents #1172) a second tab was parked while the first one went on,
// and saw nothing until the end. Here each tab has every event at once, however it came and though the
// first one does not read; and what it starts itself on the busy thread is answered at once.
func TestR20SecondTab(t *testing.T) {
	p := newPuppets(t)
	srv, addr := serveTight(t, agloop.ServerConfig{
		Agent:  p,
		Limits: agloop.Limits{SoftLimit: 8 << 10, WriteTimeout: -1}, Runs: agloop.RunsConfig{WindowEvents: 4},
	})
	tab1 := newNarrowViewer(t, addr, "ann")
	tab1.start("1", namedInput("t", "r"))
	p.count("r", 2, 3, 10)
	tab2, tab3 := newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	tab2.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	tab3.attachAt("a", "t", "r", run.Cursor{})
	wants := func(offset uint64) {
		t.Helper()
		for _, v := range []*viewer{tab2, tab3} {
			for v.attachments[1] == nil || v.attachments[1].received < offset {
				if f := v.next(); f.of != v.attachments[1] {
					t.Fatalf("got %s %s", f.name, f.body)
				}
			}
		}
	}
	wants(3)
	client, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Header: map[string][]string{"Authorization": {"ann"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tab4 := following(t, client)
	tab4.want("started r", "2", "3")
	n := uint64(3)
	more := func(size int) {
		t.Helper()
		n++
		p.count("r", n, n, size)
		wants(n)
		tab4.want(fmt.Sprint(n))
	}
	for !oneFull(srv) { // the first tab
		more(1000)
	}
	for range 10 {
		more(10)
	}
	tab2.start("own", namedInput("t", "own"))
	if f := tab2.next(); f.name != "RUN_STARTED" || f.of.Ref != "own" {
		t.Errorf("got %s %s", f.name, f.body)
	}
	more(10)
	p.end("r")
	p.count("own", 2, 2, 10) // which has its turn now
	tab3.await("RUN_FINISHED")
	for ended, began := false, false; !ended || !began; {
		if f := tab2.next(); f.of != nil { // it is idle between the two
			ended = ended || f.of.Ref == "f" && f.name == "RUN_FINISHED"
			began = began || f.of.Ref == "own" && f.name == "CUSTOM"
		}
	}
	tab4.want("finished r", "started own", "2")
}

// TestR12ResumeTwice: elsewhere (Cloudflare agents #1742) a client that resumed twice had the text twice.
// Here each request has an attachment of its own, the last one goes on, and none has anything twice.
func TestR12ResumeTwice(t *testing.T) {
	p, _, addr := servePuppets(t, agloop.ServerConfig{})
	first := newViewer(t, addr, "ann")
	first.start("1", namedInput("t", "r"))
	p.say("r", "3 ", "4 ", "5 ", "6 ")
	first.events(4)
	at := first.attachments[1].cursor()
	first.Reset()
	v := newViewer(t, addr, "ann")
	texts := map[string]string{}
	read := func(until string) (last seen) {
		t.Helper()
		for last.name != until {
			var ev struct{ Delta string }
			if last = v.next(); last.of == nil {
				continue
			}
			v.wantNumbers(last)
			v.into(last, &ev)
			texts[last.of.Ref] += ev.Delta
		}
		return last
	}
	v.attachAt("a", "t", "r", at)
	v.attachAt("b", "t", "r", at)
	v.start("c", namedInput("t", "r"))
	v.attachAt("d", "t", "r", at)
	p.add("r", "7 ")
	v.attachAt("e", "t", "r", at)
	p.add("r", "8 ")
	v.attachAt("x", "t", "nobody", run.Cursor{Epoch: 1}) // what is before it has been carried out
	read(control.NameGone)
	before := texts["e"]
	clear(texts)
	p.add("r", "9 ")
	p.closes("r")
	p.end("r")
	if last := read("RUN_FINISHED"); last.of.Ref != "e" || before+texts["e"] != "5 6 7 8 9 " {
		t.Errorf("%s ends, with %q", last.of.Ref, before+texts["e"])
	}
	if len(texts) != 1 {
		t.Errorf("an attachment goes on that another has taken the place of: %q", texts)
	}
	v.alive() // and nothing comes behind the end
}
