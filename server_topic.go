package agloop

import (
	"errors"
	"fmt"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/topic"
)

// Topic is a subject to which messages are published, and those who have subscribed to it. It needs no
// declaration: it is there while somebody subscribes or it has a history. Its methods may be called from any
// goroutine, callbacks included.
//
// The messages of a topic reach each subscriber in the order in which they were published, and a message
// that is sent to a connection directly comes behind what was published to its topics before.
type Topic struct {
	srv  *Server
	name string
}

// Topic returns the topic of a name, whether anybody subscribes to it or not.
func (s *Server) Topic(name string) *Topic { return &Topic{s, name} }

// Name is the topic's.
func (t *Topic) Name() string { return t.name }

// Subscribe has what is published from now on sent to a connection of a server with a Handler, as long as
// that is open. Who subscribes already stays as it is. It returns the place behind which that begins.
//
// Errors: ErrNoConn, ErrTooManyTopics, ErrServerClosed; an error that is errors.ErrUnsupported
// of a server with an Agent, whose connections take events alone.
func (t *Topic) Subscribe(id ConnID) (Cursor, error) { return t.subscribe(id, nil) }

// SubscribeAfter is Subscribe, and sends before that what the history has behind a cursor; the zero Cursor is
// before all that is kept. ErrGone: something of that is not kept any more, and nothing was subscribed to.
func (t *Topic) SubscribeAfter(id ConnID, after Cursor) (Cursor, error) {
	return t.subscribe(id, &topic.Cursor{Epoch: after.Epoch, Offset: after.Offset})
}

func (t *Topic) subscribe(id ConnID, after *topic.Cursor) (Cursor, error) {
	if t.srv.cfg.Agent != nil {
		return Cursor{}, fmt.Errorf("agloop: a connection of a server with an Agent takes events alone; use SubscribeThread: %w", errors.ErrUnsupported)
	}
	c := t.srv.Conn(id)
	if c == nil || !c.Follow() {
		return Cursor{}, ErrNoConn
	}
	at, err := t.srv.topics.Subscribe(t.name, topicConn{c}, after)
	switch {
	case err == nil && !c.Follow(): // it was closed meanwhile, and may have left before it was there
		t.srv.topics.Leave(topicConn{c})
		err = ErrNoConn
	case err == topic.ErrGone:
		err = ErrGone
	case err == topic.ErrTooMany:
		err = ErrTooManyTopics
	case err == topic.ErrClosed:
		err = ErrServerClosed
	}
	return Cursor{Epoch: at.Epoch, Offset: at.Offset}, err
}

// Unsubscribe ends a subscription, and reports whether there was one. A message that is being delivered may
// still come. A connection that is closed has none.
func (t *Topic) Unsubscribe(id ConnID) bool {
	c := t.srv.Conn(id)
	return c != nil && t.srv.topics.Unsubscribe(t.name, topicConn{c})
}

// Publish sends a message to all subscribers and returns its place. It waits for none of them: the loops
// deliver it. op is Text or Binary, and text must be valid UTF-8; payload is copied. Who does not keep up is
// treated as TopicConfig.Slow says.
func (t *Topic) Publish(op Opcode, payload []byte) Cursor {
	at := t.srv.topics.Publish(t.name, op, payload)
	return Cursor{Epoch: at.Epoch, Offset: at.Offset}
}

// PublishFunc is Publish of a message that says its own place, so that clients can come back to it: make is
// given that, and must not use the server's topics. It is not called when nobody would have the message.
func (t *Topic) PublishFunc(op Opcode, make func(at Cursor) []byte) Cursor {
	at := t.srv.topics.PublishFunc(t.name, op, func(at topic.Cursor) []byte {
		return make(Cursor{Epoch: at.Epoch, Offset: at.Offset})
	})
	return Cursor{Epoch: at.Epoch, Offset: at.Offset}
}

// Count is how many subscribers there are.
func (t *Topic) Count() int { return t.srv.topics.Count(t.name) }

// Presence is how many subscribers each principal has, by its Key; those of nobody are under "".
func (t *Topic) Presence() map[string]int { return t.srv.topics.Presence(t.name) }

// History returns what is kept behind a cursor, oldest first; the zero Cursor is before all that is kept.
// ErrGone: something of that is not kept any more.
func (t *Topic) History(after Cursor) ([]TopicEntry, error) {
	entries, err := t.srv.topics.History(t.name, topic.Cursor{Epoch: after.Epoch, Offset: after.Offset})
	if err != nil {
		err = ErrGone
	}
	return entries, err
}

// topicConn is a connection as a subscriber.
type topicConn struct{ *Conn }

// Group implements topic.Subscriber: connections of one loop are served by its writer.
func (c topicConn) Group() topic.Group { return c.Loop() }

// Principal implements topic.Subscriber.
func (c topicConn) Principal() string {
	if info := loop.InfoOf(c.Conn); info != nil {
		return info.Principal.Key
	}
	return ""
}

// Deliver implements topic.Subscriber.
func (c topicConn) Deliver(messages []frame.Prepared, first uint64, next *uint64, slow Slow) topic.Result {
	policy := loop.SlowLimits
	switch slow {
	case SlowCut:
		policy = loop.SlowCut
	case SlowLatest, SlowCoalesce:
		policy = loop.SlowNone
	}
	if c.Conn.Deliver(messages, first, next, policy) == Backpressure {
		return topic.Behind
	}
	return topic.Took
}

// topicFeed is how the loops know the topics.
type topicFeed struct{ hub *topic.Hub }

// CatchUp implements loop.Feed.
func (f topicFeed) CatchUp(c *Conn) { f.hub.CatchUp(topicConn{c}) }

// Room implements loop.Feed.
func (f topicFeed) Room(c *Conn) { f.hub.Room(topicConn{c}) }

// Lost implements loop.Feed.
func (f topicFeed) Lost(c *Conn) { f.hub.Leave(topicConn{c}) }
