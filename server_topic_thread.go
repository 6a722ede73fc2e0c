package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/topic"
)

// maxThreadMessages is how many messages of topics may wait for a run whose reader is slow.
const maxThreadMessages = 256

// SubscribeThread has what is published from now on emitted into the run of a thread that is live then, as a
// CUSTOM event between those of its agent: its name is the topic's, its value the message where that is
// JSON, else a string of it. While no run of the thread is live it hears nothing. The event is in the run's
// log and has an offset, as all have. Of the key, Scope and Thread count. It goes on until
// UnsubscribeThread. TopicConfig.Slow is for connections: for a run whose reader is slow up to 256 messages
// wait, and what comes beyond them is left out, with a warning.
//
// Errors: ErrServerClosed, and a *ConfigError for a server without an Agent.
func (t *Topic) SubscribeThread(key RunKey) error {
	if t.srv.hub == nil {
		return &ConfigError{Field: "Agent", Reason: "must be set: a Handler has no runs"}
	}
	if _, err := t.srv.topics.Subscribe(t.name, t.thread(key), nil); err != nil {
		return ErrServerClosed // which is the only one: a thread in one topic is a subscriber of its own
	}
	return nil
}

// UnsubscribeThread ends what SubscribeThread began, and reports whether there was something.
func (t *Topic) UnsubscribeThread(key RunKey) bool {
	return t.srv.topics.Unsubscribe(t.name, t.thread(key))
}

func (t *Topic) thread(key RunKey) topicThread {
	return topicThread{srv: t.srv, topic: t.name, scope: key.Scope, thread: key.Thread}
}

// topicThread is a thread as a subscriber of one topic.
type topicThread struct {
	srv                  *Server
	topic, scope, thread string
}

// Group implements topic.Subscriber.
func (t topicThread) Group() topic.Group { return &t.srv.threads }

// Principal implements topic.Subscriber.
func (t topicThread) Principal() string { return t.scope }

// Deliver implements topic.Subscriber.
func (t topicThread) Deliver(messages []frame.Prepared, first uint64, next *uint64, _ Slow) topic.Result {
	p := &t.srv.threads
	p.mu.Lock()
	defer p.mu.Unlock()
	messages = messages[min(uint64(len(messages)), max(*next, first)-first):]
	*next = max(*next, first+uint64(len(messages)))
	live := t.srv.hub.Active(t.scope, t.thread)
	if live == nil {
		return topic.Took
	}
	for _, m := range messages {
		p.add(t.srv, live, topicEvent(t.topic, m.Payload()))
	}
	return topic.Took
}

// topicEvent is a message of a topic as an event.
func topicEvent(name string, payload []byte) *agui.Custom {
	value := json.RawMessage(append([]byte(nil), payload...))
	if !json.Valid(value) {
		value, _ = json.Marshal(string(payload)) // strings have no error
	}
	return &agui.Custom{Name: name, Value: value}
}

// topicThreads are the threads that have subscribed to topics, as a topic.Group. The zero value is ready.
type topicThreads struct {
	// Any goroutine, under mu.
	mu      sync.Mutex
	waiting map[*run.Live][]*agui.Custom // an empty list: one is being emitted

	// Any goroutine.
	dropped atomic.Uint64
}

// Serve implements topic.Group.
func (p *topicThreads) Serve(step func() (more bool)) {
	go func() {
		for step() {
		}
	}()
}

// add has an event emitted into a run, behind those that wait. Under mu.
func (p *topicThreads) add(s *Server, live *run.Live, ev *agui.Custom) {
	list, busy := p.waiting[live]
	if len(list) >= maxThreadMessages {
		if p.dropped.Add(1)%maxThreadMessages == 1 {
			s.log.Warn("agloop: messages of topics are left out for a run whose reader is slow", "topic", ev.Name, "thread", live.Info().Thread)
		}
		return
	}
	if p.waiting == nil {
		p.waiting = make(map[*run.Live][]*agui.Custom)
	}
	p.waiting[live] = append(list, ev)
	if !busy {
		go p.emit(s, live)
	}
}

// emit emits what waits for a run until nothing does.
func (p *topicThreads) emit(s *Server, live *run.Live) {
	for {
		p.mu.Lock()
		list := p.waiting[live]
		if len(list) == 0 {
			delete(p.waiting, live)
			p.mu.Unlock()
			return
		}
		p.waiting[live] = list[1:]
		p.mu.Unlock()
		if err := s.guarded(func() error { return run.EmitInto(context.Background(), live, list[0]) }); err != nil && !errors.Is(err, ErrRunEnded) {
			s.log.Warn("agloop: a message of a topic could not be emitted", "topic", list[0].Name, "thread", live.Info().Thread, "err", err)
		}
	}
}
