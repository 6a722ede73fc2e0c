//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"
)

// A run's events come in this order, each phase naming what comes next.
const (
	wantStarted uint8 = iota
	wantStart
	wantContent // or the end of the message
	wantFinished
	runDone
)

type runConn struct {
	phase    uint8
	contents int
	message  string
	due      int64 // when the next content event is
	left     int   // content events of its burst, this one included
}

// event has the members that are checked.
type event struct {
	Type      string `json:"type"`
	ThreadID  string `json:"threadId"`
	RunID     string `json:"runId"`
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
	Message   string `json:"message"`
}

var contentPrefix = []byte(`{"type":"TEXT_MESSAGE_CONTENT",`)

// streamMode asks for one run on each connection and reads its events.
type streamMode struct {
	e                          *engine
	rate, burst, delta, length int
	exact                      bool
	control                    bool // frames of agloop.v1 that are no events may come
	contents                   uint64
	finished                   int
	interval                   int64 // nanoseconds from one burst to the next
	measuring                  bool
	latency                    latency
}

func threadOf(index int32) string { return fmt.Sprintf("thread-%d", index) }
func runOf(index int32) string    { return fmt.Sprintf("run-%d", index) }

func (m *streamMode) input(index int32) []byte {
	return appendMasked(nil, opText, fmt.Appendf(nil, `{"threadId":%q,"runId":%q,"messages":[],"tools":[],"context":[],`+
		`"state":{},"forwardedProps":{"rate":%d,"burst":%d,"delta":%d,"seconds":%d}}`,
		threadOf(index), runOf(index), m.rate, m.burst, m.delta, m.length))
}

// perRun is the number of content events a run has.
func (m *streamMode) perRun() int { return m.rate * m.length * m.burst }

func (m *streamMode) onMessage(c *conn, f frame) error {
	// Most events are contents that begin with their type. These are recognised by their bytes and
	// decoded only sometimes; any other event, and any other order of members, is always decoded.
	if c.run.phase == wantContent && (m.contents+1)%sampled != 0 && f.op == opText &&
		bytes.HasPrefix(f.payload, contentPrefix) && f.payload[len(f.payload)-1] == '}' {
		m.content(&c.run)
		return nil
	}
	if f.op != opText {
		return errors.New("event in a binary frame")
	}
	if m.control && len(f.payload) > 0 && f.payload[0] == '[' { // of agloop.v1, and no event
		return nil
	}
	var ev event
	if err := json.Unmarshal(f.payload, &ev); err != nil {
		return fmt.Errorf("malformed event %q: %w", f.payload, err)
	}
	if err := m.step(c, &ev); err != nil {
		return fmt.Errorf("%w: %s", err, f.payload)
	}
	return nil
}

func (m *streamMode) step(c *conn, ev *event) error {
	r := &c.run
	phase := r.phase
	switch {
	case ev.Type == "RUN_STARTED" && phase == wantStarted, ev.Type == "RUN_FINISHED" && phase == wantFinished:
		if ev.ThreadID != threadOf(c.index) || ev.RunID != runOf(c.index) {
			return errors.New("event of another run")
		}
		r.phase++
		r.due, r.left = m.e.stamp+m.interval, m.burst
		if phase == wantFinished {
			m.finished++
			if m.exact && r.contents != m.perRun() {
				return fmt.Errorf("run of %d content events, want %d", r.contents, m.perRun())
			}
		}
	case ev.Type == "TEXT_MESSAGE_START" && phase == wantStart:
		r.message = ev.MessageID
		r.phase++
	case ev.Type == "TEXT_MESSAGE_CONTENT" && phase == wantContent:
		if len(ev.Delta) != m.delta {
			return fmt.Errorf("delta of %d bytes, want %d", len(ev.Delta), m.delta)
		}
		if ev.MessageID != r.message {
			return errors.New("content of another message")
		}
		m.content(r)
	case ev.Type == "TEXT_MESSAGE_END" && phase == wantContent:
		r.phase++
	default:
		return errors.New("event out of order or of a type no one asked for")
	}
	return nil
}

// content counts a content event and takes its latency, from the time its burst was due. Burst k of
// a run, the first being 1, is due k intervals after RUN_STARTED came: servers start their ticker
// right behind it, and the earliest burst of most runs comes within 40 µs of the time so found.
// When RUN_STARTED itself was held up the clock began too late, and a burst comes before it is due.
// That sets the clock back: a run counts from its start or its earliest burst so far.
func (m *streamMode) content(r *runConn) {
	r.contents++
	m.contents++
	late := m.e.stamp - r.due
	if late < 0 {
		r.due, late = m.e.stamp, 0
	}
	if m.measuring {
		m.latency.record(late)
	}
	if r.left--; r.left == 0 {
		r.due, r.left = r.due+m.interval, m.burst
	}
}

func (m *streamMode) onTurn(*conn) error { return nil }

// onClose allows the server to close after the run.
func (m *streamMode) onClose(c *conn, why string) error {
	if c.run.phase != runDone {
		return fmt.Errorf("closed after %d content events and before RUN_FINISHED: %s", c.run.contents, why)
	}
	return nil
}

func streamMain(args []string) (*common, *report, error) {
	var c common
	m := &streamMode{}
	fs := flag.NewFlagSet("stream", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9002/ws")
	runs := fs.Int("runs", 2000, "runs, each on a connection of its own")
	fs.IntVar(&m.rate, "rate", 10, "bursts per second of a run")
	fs.IntVar(&m.burst, "burst", 4, "content events in a burst")
	fs.IntVar(&m.delta, "delta", 24, "bytes of text in a content event")
	fs.IntVar(&m.length, "seconds", 10, "length of a run; the window lies inside it")
	warm := fs.Duration("warm", 2*time.Second, "time between the last run's input and the window")
	late := fs.Duration("late", 30*time.Second, "how much later than asked the last run may finish")
	fs.StringVar(&c.protocol, "protocol", "", "subprotocol to offer: with agloop.v1.json runs have a log")
	fs.BoolVar(&m.exact, "exact", true, "a run must have rate × seconds × burst content events, no more and no fewer")
	fs.Parse(args)
	m.control = c.protocol != ""
	r, err := streamRun(&c, m, *runs, *warm, *late)
	return &c, r, err
}

func streamRun(c *common, m *streamMode, runs int, warm, late time.Duration) (*report, error) {
	if m.rate < 1 || m.burst < 1 || m.delta < 1 {
		return nil, errors.New("--rate, --burst and --delta lie above 0")
	}
	interval := int64(time.Second) / int64(m.rate)
	window := int64(m.length)*int64(time.Second) - 3*interval - int64(warm)
	if window < int64(time.Second/2) {
		return nil, fmt.Errorf("--seconds %d leaves too little to measure after --warm %v", m.length, warm)
	}
	e, err := c.start(runs, m)
	if err != nil {
		return nil, err
	}
	m.e, m.interval, m.latency, e.openLoop = e, interval, newLatency(), true
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	begin := e.now()
	if err := m.startAll(interval); err != nil {
		return nil, err
	}
	if err := e.until(e.now()+int64(warm), nil); err != nil {
		return nil, err
	}
	a, b, err := e.measure(c.pid, func(int64) int64 {
		m.measuring = true
		// A server that sends the first burst at once ends a run one interval early; the window
		// ends one before that.
		return begin + int64(m.length)*int64(time.Second) - 2*interval
	})
	if err != nil {
		return nil, err
	}
	m.measuring = false
	all := func() bool { return m.finished == runs }
	due := begin + interval + int64(m.length)*int64(time.Second)
	if err := e.until(due+int64(late), all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d of %d runs had not finished %v after their time", runs-m.finished, runs, late)
	}

	var r report
	asked := float64(runs * m.rate * m.burst)
	r.add("mode", "stream")
	r.add("runs", runs)
	r.add("rate", m.rate)
	r.add("burst", m.burst)
	r.add("delta", m.delta)
	r.window(a, b, c.pid, "event")
	m.latency.report(&r, "")
	r.kept(a, b, asked)
	r.add("finished", m.finished)
	r.add("content_events", m.contents)
	r.add("last_finish_s", round(float64(e.now()-begin)/1e9, 2))
	return &r, nil
}

// startAll sends the inputs evenly over one interval, so that the bursts of different runs do not
// fall together.
func (m *streamMode) startAll(interval int64) error {
	begin, runs := m.e.now(), int64(len(m.e.conns))
	for i := range runs {
		if err := m.e.until(begin+i*interval/runs, nil); err != nil {
			return err
		}
		c := &m.e.conns[i]
		if err := m.e.send(c, m.input(c.index)); err != nil {
			return err
		}
	}
	return nil
}
