//go:build linux

package main

import (
	"bytes"
	"cmp"
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

// streamMode asks for runs and reads their events. The viewers of a run are connections of their own,
// and the first of them starts it.
type streamMode struct {
	e                          *engine
	rate, burst, delta, length int
	others                     int    // viewers of a run besides the first
	size                       int    // bytes of a content event; 0: any number
	what                       string // an event is in the report; "" is event
	exact                      bool
	control                    bool // the connections speak agloop.v1
	contents                   uint64
	finished                   int
	interval                   int64 // nanoseconds from one burst to the next
	measuring                  bool
	latency                    latency
}

// The names are as long as each other, so that the events are.
func threadOf(run int32) string { return fmt.Sprintf("thread-%05d", run) }
func runOf(run int32) string    { return fmt.Sprintf("run-%05d", run) }

// input is that of a run as a frame.
func input(run int32, rate, burst, delta int, seconds float64, hold int) []byte {
	return appendMasked(nil, opText, bareInput(run, rate, burst, delta, seconds, hold))
}

// bareInput has no state: who joins a run would be sent that as an event of its own.
func bareInput(run int32, rate, burst, delta int, seconds float64, hold int) []byte {
	return fmt.Appendf(nil, `{"threadId":%q,"runId":%q,"messages":[],"tools":[],"context":[],`+
		`"forwardedProps":{"rate":%d,"burst":%d,"delta":%d,"seconds":%g,"hold":%d}}`,
		threadOf(run), runOf(run), rate, burst, delta, seconds, hold)
}

// deltaIn is how much text makes a content event of so many bytes, as agloop stream writes it.
func deltaIn(size int) int {
	return size - len(fmt.Sprintf(`{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"message-%s","delta":""}`,
		time.Now().UnixMilli(), runOf(0)))
}

func (m *streamMode) input(run int32) []byte {
	if m.e.target.sse {
		return m.e.target.post(bareInput(run, m.rate, m.burst, m.delta, float64(m.length), 0))
	}
	return input(run, m.rate, m.burst, m.delta, float64(m.length), 0)
}

// runOn is the number of the run that a connection views.
func (m *streamMode) runOn(c *conn) int32 { return c.index / int32(1+m.others) }

// perRun is the number of content events a run has.
func (m *streamMode) perRun() int { return m.rate * m.length * m.burst }

func (m *streamMode) onMessage(c *conn, f frame) error {
	if m.control {
		if f.op == opText && isControl(f.payload) {
			return m.onControl(c, f.payload)
		}
		if _, err := c.wire.event(); err != nil {
			return err
		}
	}
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
	var ev event
	if err := json.Unmarshal(f.payload, &ev); err != nil {
		return fmt.Errorf("malformed event %q: %w", f.payload, err)
	}
	if m.size != 0 && ev.Type == "TEXT_MESSAGE_CONTENT" && len(f.payload) != m.size {
		return fmt.Errorf("event of %d bytes, want %d: %s", len(f.payload), m.size, f.payload)
	}
	if err := m.step(c, &ev); err != nil {
		return fmt.Errorf("%w: %s", err, f.payload)
	}
	return nil
}

// onControl has the other viewers of a run attach as soon as it is there.
func (m *streamMode) onControl(c *conn, b []byte) error {
	m.e.frames-- // which are those of events
	v, err := c.wire.control(b)
	if v == nil || err != nil {
		return err
	}
	run := m.runOn(c)
	if v.run != runOf(run) {
		return fmt.Errorf("attached to another run: %s", b)
	}
	first := int(run) * (1 + m.others)
	if int(c.index) != first {
		return nil
	}
	for i := range m.others {
		if err := m.e.send(&m.e.conns[first+1+i], append(binding(c.wire.secret), attaching(run, "", 0)...)); err != nil {
			return err
		}
	}
	return nil
}

func (m *streamMode) step(c *conn, ev *event) error {
	r := &c.run
	phase := r.phase
	switch {
	case ev.Type == "RUN_STARTED" && phase == wantStarted, ev.Type == "RUN_FINISHED" && phase == wantFinished:
		if run := m.runOn(c); ev.ThreadID != threadOf(run) || ev.RunID != runOf(run) {
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
	c.offerFlag(fs)
	fs.StringVar(&c.deflate, "deflate", "", "offer compression, with a `context` between messages: "+takeover+" or "+noTakeover)
	fs.BoolVar(&m.exact, "exact", true, "a run must have rate × seconds × burst content events, no more and no fewer")
	fs.Parse(args)
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
	m.control = c.protocol != ""
	conns := runs * (1 + m.others)
	e, err := c.start(conns, m)
	if err != nil {
		return nil, err
	}
	m.e, m.interval, m.latency, e.openLoop = e, interval, newLatency(), true
	var before int64
	if c.pid != 0 {
		if before, err = residentSet(c.pid); err != nil {
			return nil, err
		}
	}
	if err := c.openAll(e); err != nil {
		return nil, err
	}
	agreed := e.conns[0].deflate
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
	all := func() bool { return m.finished == conns }
	due := begin + interval + int64(m.length)*int64(time.Second)
	if err := e.until(due+int64(late), all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d of %d runs had not finished %v after their time", conns-m.finished, conns, late)
	}

	var r report
	asked := float64(conns * m.rate * m.burst)
	r.add("mode", "stream")
	r.add("runs", runs)
	r.add("viewers", 1+m.others)
	r.add("rate", m.rate)
	r.add("burst", m.burst)
	r.add("delta", m.delta)
	r.window(a, b, c.pid, cmp.Or(m.what, "event"))
	m.latency.report(&r, "")
	r.kept(a, b, asked)
	if c.pid != 0 {
		r.add("bytes_per_conn", round(float64(b.rss-before)/float64(conns), 1))
	}
	events := float64(b.frames - a.frames)
	r.add("wire_bytes_per_event", round(ratio(float64(b.wire-a.wire), events), 2))
	r.add("plain_bytes_per_event", round(ratio(float64(b.plain-a.plain), events), 2))
	r.add("wire_share", round(ratio(float64(b.wire-a.wire), float64(b.plain-a.plain)), 4))
	if agreed != nil {
		r.add("takeover", agreed.takeover)
	}
	r.add("finished", m.finished)
	r.add("content_events", m.contents)
	r.add("last_finish_s", round(float64(e.now()-begin)/1e9, 2))
	return &r, nil
}

// startAll sends the inputs evenly over one interval, so that the bursts of different runs do not
// fall together.
func (m *streamMode) startAll(interval int64) error {
	each := 1 + m.others
	return m.e.spread(len(m.e.conns)/each, interval, func(i int) error {
		return m.e.send(&m.e.conns[i*each], m.input(int32(i)))
	})
}
