//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	// mostViews is how many attachments a connection of agloop.v1 may have.
	mostViews = 64
	// held is how many seconds runs stay live when they have said everything.
	held = 600
)

// runsMode starts runs that stay live when they have said everything, and reads what the memory of the
// server has grown by. On agloop.v1 a connection views 64 runs, so that there are few connections;
// without it, one. All connections are open before, and what they take is not counted.
type runsMode struct {
	e                         *engine
	runs, events, rate, burst int
	delta                     int
	each                      int // runs that one connection views
	watchers                  int // connections that view the same runs; the first of them starts these
	control                   bool
	attached, complete        int
	bytes                     int64 // of the events that those have had who started runs
}

// first is the run that a connection views first, and begins it.
func (m *runsMode) first(c *conn) (run int, starts bool) {
	return int(c.index) / m.watchers * m.each, int(c.index)%m.watchers == 0
}

// ask starts the next run of a connection, or attaches to it.
func (m *runsMode) ask(c *conn) error {
	first, starts := m.first(c)
	run := int32(first + len(c.wire.views))
	if int(run) >= min(first+m.each, m.runs) {
		return nil
	}
	if !starts {
		return m.e.send(c, attaching(run, "", 0))
	}
	if !m.control {
		c.wire.views = append(c.wire.views, view{run: runOf(run), next: 1})
	}
	return m.e.send(c, input(run, m.rate, m.burst, m.delta, float64(m.events)/float64(m.rate*m.burst), held))
}

func (m *runsMode) onMessage(c *conn, f frame) error {
	if f.op != opText {
		return errors.New("event in a binary frame")
	}
	if m.control && isControl(f.payload) {
		m.e.frames-- // which are those of events
		v, err := c.wire.control(f.payload)
		if v == nil || err != nil {
			return err
		}
		if first, _ := m.first(c); v.run != runOf(int32(first+len(c.wire.views)-1)) {
			return fmt.Errorf("attached to another run: %s", f.payload)
		}
		m.attached++
		return m.ask(c)
	}
	v, err := c.wire.event()
	if err != nil {
		return err
	}
	if _, starts := m.first(c); starts {
		m.bytes += int64(len(f.payload))
	}
	offset := int(v.next - 1)
	want := `{"type":"TEXT_MESSAGE_CONTENT",`
	switch {
	case offset == 1:
		want = `{"type":"RUN_STARTED",`
	case offset == 2:
		want = `{"type":"TEXT_MESSAGE_START",`
	case offset == m.events+2:
		m.complete++
	}
	if offset > m.events+2 || !bytes.HasPrefix(f.payload, []byte(want)) {
		return fmt.Errorf("event %d of %s is %q", offset, v.run, f.payload)
	}
	return nil
}

func (m *runsMode) onTurn(*conn) error { return nil }

func (m *runsMode) onClose(_ *conn, why string) error {
	return fmt.Errorf("lost while its runs were live: %s", why)
}

func runsMain(args []string) (*common, *report, error) {
	var c common
	m := &runsMode{}
	fs := flag.NewFlagSet("runs", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9002/ws")
	fs.IntVar(&m.runs, "runs", 1000, "live runs")
	viewers := fs.Int("viewers", 1, "viewers of each run; 0: who started it leaves")
	fs.IntVar(&m.events, "events", 1000, "content events of a run")
	fs.IntVar(&m.rate, "rate", 20, "bursts per second of a run")
	fs.IntVar(&m.burst, "burst", 10, "content events in a burst")
	size := fs.Int("size", 128, "bytes of a content event")
	settle := fs.Duration("settle", 5*time.Second, "time before each reading of the memory")
	c.offerFlag(fs)
	fs.Parse(args)
	r, err := runsRun(&c, m, *viewers, *size, *settle)
	return &c, r, err
}

func runsRun(c *common, m *runsMode, viewers, size int, settle time.Duration) (*report, error) {
	m.delta, m.control = deltaIn(size), c.protocol != ""
	switch {
	case c.pid == 0:
		return nil, errors.New("--pid is needed: memory is all that is measured")
	case m.runs < 1 || m.rate < 1 || m.burst < 1 || viewers < 0 || m.delta < 1:
		return nil, errors.New("--runs, --rate and --burst lie above 0, --viewers not below, --size has room for an event")
	case m.events < 1 || m.events%m.burst != 0:
		return nil, errors.New("--events is a multiple of --burst")
	case !m.control && viewers != 1:
		return nil, errors.New("without --protocol a run has one viewer")
	}
	m.each, m.watchers = 1, max(1, viewers)
	if m.control {
		m.each = mostViews
	}
	e, err := c.start((m.runs+m.each-1)/m.each*m.watchers, m)
	if err != nil {
		return nil, err
	}
	m.e = e
	if err := c.openAll(e); err != nil {
		return nil, err
	}
	if err := e.until(e.now()+int64(settle), nil); err != nil {
		return nil, err
	}
	before, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	if err := m.begin(c.drain); err != nil {
		return nil, err
	}
	if viewers == 0 {
		for i := range e.conns {
			if err := e.cut(&e.conns[i]); err != nil {
				return nil, err
			}
		}
	}
	if err := e.until(e.now()+int64(settle), nil); err != nil {
		return nil, err
	}
	after, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	var stats runStats
	if m.control {
		if stats, err = m.stats(c, m.runs*viewers); err != nil {
			return nil, err
		}
	}

	var r report
	n := float64(m.runs)
	each := func(bytes int64) float64 { return round(float64(bytes)/n, 1) }
	r.add("mode", "runs")
	r.add("runs", m.runs)
	r.add("viewers", viewers)
	r.add("conns", len(e.conns))
	r.add("events", m.events)
	r.add("bytes_per_run", each(after.rss-before.rss))
	r.add("anon_per_run", each(after.anon-before.anon))
	r.add("event_bytes_per_run", each(m.bytes))
	r.add("times_events", round(ratio(float64(after.rss-before.rss), float64(m.bytes)), 3))
	r.add("ledger_per_run", each(stats.LogBytes))
	r.add("rss_before", before.rss)
	r.add("rss_after", after.rss)
	r.add("pss_before", before.pss)
	r.add("pss_after", after.pss)
	r.add("checked", e.frames)
	return &r, nil
}

// begin starts the runs, has all viewers attach, and waits until each has had every event, or none has
// come for so long.
func (m *runsMode) begin(drain time.Duration) error {
	e := m.e
	await := func(what string, all func() bool) error {
		if err := e.awaitReplies(drain, all); err != nil {
			return err
		}
		if !all() {
			return fmt.Errorf("%d runs were started or attached to, %d complete, when %s was awaited", m.attached, m.complete, what)
		}
		return nil
	}
	each := func(starts bool, do func(c *conn) error) error {
		for i := range e.conns {
			if _, is := m.first(&e.conns[i]); is == starts {
				if err := do(&e.conns[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := each(true, m.ask); err != nil {
		return err
	}
	if m.watchers > 1 {
		if err := await("the start of all", func() bool { return m.attached == m.runs }); err != nil {
			return err
		}
		err := each(false, func(c *conn) error {
			starter := &e.conns[int(c.index)/m.watchers*m.watchers]
			if err := e.send(c, binding(starter.wire.secret)); err != nil {
				return err
			}
			return m.ask(c)
		})
		if err != nil {
			return err
		}
	}
	return await("the last event", func() bool { return m.complete == m.runs*m.watchers })
}

// runStats are those of agloop stream that say what it holds.
type runStats struct {
	Live, Viewers int
	LogBytes      int64
}

// stats asks the server what it holds, and checks that all runs are live and have their viewers. A
// viewer that has left is gone a moment later.
func (m *runsMode) stats(c *common, viewers int) (s runStats, err error) {
	u, err := url.Parse(c.url)
	if err != nil {
		return s, err
	}
	u.Scheme, u.Path = "http", "/stats"
	if m.e.target.tls != nil {
		u.Scheme = "https"
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: m.e.target.tls}}
	defer client.CloseIdleConnections()
	for deadline := m.e.now() + int64(c.drain); ; {
		a, err := client.Get(u.String())
		if err != nil {
			return s, err
		}
		err = json.NewDecoder(a.Body).Decode(&s)
		a.Body.Close()
		switch {
		case err != nil:
			return s, fmt.Errorf("%s: %w", u, err)
		case s.Live == m.runs && s.Viewers == viewers:
			return s, nil
		case m.e.now() > deadline:
			return s, fmt.Errorf("the server has %d live runs with %d viewers, want %d and %d", s.Live, s.Viewers, m.runs, viewers)
		}
		if err := m.e.until(m.e.now()+int64(10*time.Millisecond), nil); err != nil {
			return s, err
		}
	}
}
