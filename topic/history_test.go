package topic

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
)

func TestHistory(t *testing.T) {
	before := bufpool.InUse()
	h := NewHub(func(name string) Config {
		if name == "t" {
			return Config{History: 3, HistoryFor: -1}
		}
		return Config{}
	}, 0)
	w := newWorker()
	at := []Cursor{publish(h, "t", "1")} // nobody needs to listen
	for _, m := range []string{"2", "3", "4"} {
		at = append(at, publish(h, "t", m))
	}
	history := func(after Cursor, want string, wantErr error) {
		t.Helper()
		entries, err := h.History("t", after)
		var got string
		for i, e := range entries {
			got += string(e.Payload)
			if i > 0 && e.At.Offset != entries[i-1].At.Offset+1 {
				t.Errorf("places %v", entries)
			}
		}
		if got != want || err != wantErr {
			t.Errorf("after %v: got %q, %v; want %q, %v", after, got, err, want, wantErr)
		}
	}
	history(Cursor{}, "234", nil)
	history(at[0], "234", nil)
	history(at[1], "34", nil)
	history(at[3], "", nil)
	history(Cursor{at[0].Epoch, at[0].Offset - 1}, "", ErrGone)
	history(Cursor{at[0].Epoch, at[3].Offset + 1}, "", ErrGone)
	history(Cursor{at[0].Epoch + 1, at[3].Offset}, "", ErrGone)

	a, b, c := &reader{group: w}, &reader{group: w}, &reader{group: w}
	if last, err := h.Subscribe("t", a, &at[1]); err != nil || last != at[3] {
		t.Errorf("%v, %v", last, err)
	}
	if _, err := h.Subscribe("t", b, &Cursor{at[0].Epoch, 0}); err != ErrGone {
		t.Errorf("%v", err)
	}
	if _, err := h.Subscribe("u", b, &at[1]); err != ErrGone { // which has none
		t.Errorf("%v", err)
	}
	w.hold()
	publish(h, "t", "5")
	if _, err := h.Subscribe("t", c, &at[2]); err != nil {
		t.Error(err)
	}
	publish(h, "t", "6")
	w.let()
	a.wants(t, "3", "4", "5", "6")
	b.wants(t)
	c.wants(t, "4", "5", "6")
	if f := h.Figures(); f.Topics != 1 || f.HistoryBytes != 9 {
		t.Errorf("%+v", f)
	}
	h.Close()
	if n := bufpool.InUse() - before; n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := NewHub(func(string) Config { return Config{History: 100, HistoryBytes: 250} }, 0)
	for range 10 {
		h.Publish("t", frame.Binary, make([]byte, 100))
	}
	if entries, err := h.History("t", Cursor{}); len(entries) != 2 || err != nil || !entries[0].Binary {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	h.Publish("t", frame.Binary, make([]byte, 1000)) // larger than all that is kept
	if entries, _ := h.History("t", Cursor{}); len(entries) != 0 {
		t.Errorf("%d entries", len(entries))
	}
	if f := h.Figures(); f.HistoryBytes != 0 {
		t.Errorf("%+v", f)
	}
	h.Close()
}

// TestHistoryEnds: what is old goes, and then the topic, whose cursors lead nowhere when it comes again.
func TestHistoryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(func(string) Config { return Config{History: 100, HistoryFor: time.Minute} }, 0)
		publish(h, "t", "1")
		time.Sleep(40 * time.Second)
		at := publish(h, "t", "2")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if entries, err := h.History("t", Cursor{}); len(entries) != 1 || err != nil {
			t.Errorf("%v, %v", entries, err)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if f := h.Figures(); f.Topics != 0 || f.HistoryBytes != 0 {
			t.Errorf("%+v", f)
		}
		if _, err := h.History("t", at); err != ErrGone {
			t.Errorf("%v", err)
		}
		publish(h, "t", "3")
		if _, err := h.History("t", Cursor{at.Epoch, at.Offset - 1}); err != ErrGone {
			t.Errorf("%v", err)
		}
		if entries, err := h.History("t", at); err != nil || len(entries) != 1 || string(entries[0].Payload) != "3" {
			t.Errorf("%v, %v", entries, err)
		}
		h.Close()
	})
}
