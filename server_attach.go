package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// attachment is one viewer of a connection of agloop.v1: it is the viewer's outlet, and one of the
// streams of the connection. Rules R2, R30, R31.
type attachment struct {
	// Immutable once it is attached.
	session *controlSession
	number  uint64
	ref     string
	key     RunKey
	viewer  *run.Viewer

	// The log, under its lock.
	told  bool       // its first selector is queued
	frame *run.Frame // that is being offered

	// Any goroutine, under the session's mu.
	follow *follow // that goes on behind it; nil for none
	left   bool    // the client has left it: it is not told of the end
	away   bool    // the client has left it and said that it comes back
	ended  bool
}

// Offer implements run.Outlet.
func (a *attachment) Offer(f *run.Frame) run.Offered {
	a.frame = f
	result := offered(a.session.offer(a, f))
	a.told = a.told || result == run.OutletTook
	return result
}

// offered is what a connection says of an event, as a log wants it.
func offered(r SendResult) run.Offered {
	switch r {
	case Sent:
		return run.OutletTook
	case Backpressure:
		return run.OutletFull
	}
	return run.OutletGone
}

// Number implements loop.Stream.
func (a *attachment) Number() uint64 { return a.number }

// AppendSelector implements loop.Stream.
func (a *attachment) AppendSelector(dst []byte) []byte {
	dst = append(dst, `["run",{"run":`...)
	dst = strconv.AppendUint(dst, a.number, 10)
	if !a.told {
		dst = appendMember(dst, "ref", a.ref)
		dst = appendMember(dst, "threadId", a.key.Thread)
		dst = appendMember(dst, "runId", a.key.Run)
		dst = appendMember(dst, "epoch", run.FormatEpoch(a.frame.Epoch))
		dst = append(dst, `,"last":`...)
		dst = strconv.AppendUint(dst, a.frame.Last, 10)
	}
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, a.frame.First, 10)
	if a.frame.Alone() {
		dst = append(dst, `,"through":`...)
		dst = strconv.AppendUint(dst, a.frame.Through, 10)
	}
	return append(dst, `}]`...)
}

// appendMember appends a member of an object behind another one.
func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	text, _ := json.Marshal(value) // a string has no error
	return append(dst, text...)
}

// Ended implements run.Outlet.
func (a *attachment) Ended(why error) {
	s := a.session
	s.mu.Lock()
	defer s.mu.Unlock()
	a.ended = true
	delete(s.attachments, a.number)
	if s.byKey[a.key] == a {
		delete(s.byKey, a.key)
	}
	switch {
	case s.gone:
		return
	case why != nil && !a.left && a.isOfFollow():
		s.tellGone(a.ref, a.key.Run, why)
	case why != nil && !a.left:
		s.tellGone(a.ref, "", why)
	}
	if f := a.follow; f != nil && f.current == a {
		f.current = nil
		s.advanceLater(f)
	}
	s.rest()
}

// isOfFollow reports whether it came of a follow, and was not asked for by itself. Under mu.
func (a *attachment) isOfFollow() bool { return a.follow != nil && a.follow.ref == a.ref }

// rest notes whether the connection has anything to wait for. Under mu.
func (s *controlSession) rest() {
	busy := len(s.attachments)+len(s.follows) > 0
	s.conn.SetBusy(busy)
	if len(s.attachments) == 0 && s.srv.stopping() {
		s.conn.Close(CloseGoingAway, "server shuts down")
	}
}

// newAttachment makes an attachment that has no viewer yet; nil when the client has as many as it may.
func (s *controlSession) newAttachment(ref string, key RunKey) *attachment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.attachments) >= maxAttachments && s.byKey[key] == nil {
		return nil
	}
	return &attachment{session: s, ref: ref, key: key}
}

// register takes an attachment with its viewer, which replaces an earlier one of the run, and has
// it pull.
func (s *controlSession) register(a *attachment) {
	s.mu.Lock()
	other := s.byKey[a.key]
	if other != nil {
		other.left = true
	}
	gone := s.gone
	if !gone && !a.ended {
		s.number++
		a.number = s.number
		s.attachments[a.number], s.byKey[a.key] = a, a
		if a.follow == nil {
			s.noteOwn(a.key)
			if other != nil && other.follow != nil && other.follow.current == other {
				a.follow = other.follow // which goes on behind the run
				a.follow.current = a
			}
		}
		s.used = true
		s.rest()
	}
	s.mu.Unlock()
	if gone {
		a.viewer.Leave()
		return
	}
	for a.viewer.Pull() {
	}
	a.viewer.WhenLevel(a.announce)
	if other != nil {
		other.viewer.Leave()
	}
}

// announce sends the first selector of an attachment for which there is no event yet: whoever asked
// for it is to have an answer. Under the log's lock.
func (a *attachment) announce(f *run.Frame) {
	if a.told {
		return
	}
	a.frame = f
	a.told = a.session.conn.Select(&a.session.selection, a)
}

// attach adds a viewer to a run.
func (s *controlSession) attach(ctx context.Context, c *control.Attach) {
	if !s.checkIDs(c.Ref, c.ThreadID, c.RunID) {
		return
	}
	at, ok := cursorOf(c.Epoch, c.Offset)
	switch {
	case ok:
	case c.Offset > run.MaxOffset:
		s.reject(c.Ref, control.CodeMalformed, "offset")
		return
	default:
		s.reject(c.Ref, control.CodeMalformed, "epoch")
		return
	}
	key, ok := s.authorize(ctx, c.Ref, ActionJoin, s.keyOf(c.ThreadID, c.RunID))
	if !ok {
		return
	}
	a := s.newAttachment(c.Ref, key)
	if a == nil {
		s.reject(c.Ref, control.CodeAttachments, "")
		return
	}
	var err error
	if _, a.viewer, err = s.srv.hub.Attach(ctx, key, at, a); err != nil {
		s.tellAttachError(ctx, c.Ref, err)
		if c.Epoch == "" { // who names one was there: a guess would have to hit its 64 random bits
			s.noteGuess(err)
		}
		return
	}
	s.register(a)
}

// checkIDs reports whether ids are as those of inputs are, since both name runs. The client has been
// told when they are not.
func (s *controlSession) checkIDs(ref, threadID, runID string) bool {
	err := eventLimits(&s.srv.cfg.Limits).CheckIDs(threadID, runID)
	if wrong, ok := errors.AsType[*event.FieldError](err); ok {
		s.reject(ref, control.CodeMalformed, wrong.Field)
	}
	return err == nil
}

// tellAttachError says why there is no attachment, or no follow.
func (s *controlSession) tellAttachError(ctx context.Context, ref string, err error) {
	switch {
	case errors.Is(err, run.ErrGone):
		s.tellGone(ref, "", err)
	case ctx.Err() != nil:
		s.reject(ref, control.CodeTimeout, "")
	default:
		s.srv.log.Error("agloop: a log could not be read", "err", err)
		s.tellGone(ref, "", nil)
	}
}

// cursorOf is a cursor as it travels; without an epoch it is the start.
func cursorOf(epoch string, offset uint64) (at run.Cursor, ok bool) {
	if epoch == "" {
		return run.Cursor{}, offset == 0
	}
	e, ok := run.ParseEpoch(epoch)
	return run.Cursor{Epoch: e, Offset: offset}, ok && offset <= run.MaxOffset
}

// leave ends an attachment, or a follow.
func (s *controlSession) leave(c *control.Leave) {
	s.mu.Lock()
	a := s.attachments[c.Run]
	f := s.follows[c.Ref]
	if c.Run != 0 {
		f = nil
	}
	back := c.Back && f == nil // nobody comes back to a follow
	if f != nil {
		delete(s.follows, c.Ref)
		if a = f.current; a != nil && !a.isOfFollow() { // what was asked for by itself stays
			a.follow, a = nil, nil
		}
	}
	if a != nil {
		a.left, a.away = !back, back
	}
	s.rest()
	s.mu.Unlock()
	if f != nil {
		f.stop()
	}
	switch {
	case a == nil:
	case back:
		a.viewer.Away()
	default:
		a.viewer.Leave()
	}
}

// isAway reports whether the client has said that it comes back to a run.
func (s *controlSession) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attachments {
		if a.away {
			return true
		}
	}
	return false
}

// giveUpAway ends the attachments that the client was to come back to.
func (s *controlSession) giveUpAway() {
	s.mu.Lock()
	away := slices.DeleteFunc(s.attached(), func(a *attachment) bool { return !a.away })
	for _, a := range away {
		a.left = true
	}
	s.mu.Unlock()
	for _, a := range away {
		a.viewer.Leave()
	}
}

// maxInvented is how many runs that are not known one connection may cancel: each name is kept for a
// day.
const maxInvented = 64

// cancel cancels a run. It has no answer but the run's end.
func (s *controlSession) cancel(ctx context.Context, c *control.Cancel) {
	if !s.checkIDs("", c.ThreadID, c.RunID) {
		return
	}
	key, ok := s.authorize(ctx, "", ActionCancel, s.keyOf(c.ThreadID, c.RunID))
	if !ok {
		return
	}
	s.mu.Lock()
	s.used = true
	s.mu.Unlock()
	if !s.srv.hub.Known(ctx, key) {
		if s.invented++; s.invented > maxInvented {
			return
		}
	}
	if err := s.srv.hub.Cancel(ctx, key, run.ErrCancelled); err != nil {
		s.srv.log.Error("agloop: a run could not be cancelled", "thread", key.Thread, "run", key.Run, "err", err)
	}
}

// steer says something to a run.
func (s *controlSession) steer(ctx context.Context, c *control.Steer) {
	switch {
	case !s.checkIDs(c.Ref, c.ThreadID, c.RunID):
		return
	case c.ID == "" || eventLimits(&s.srv.cfg.Limits).CheckIDs("", c.ID) != nil:
		s.reject(c.Ref, control.CodeMalformed, "id")
		return
	case len(c.Text) > run.MaxSteer || !utf8.ValidString(c.Text):
		s.reject(c.Ref, control.CodeMalformed, "text")
		return
	}
	key, ok := s.authorize(ctx, c.Ref, ActionSteer, s.keyOf(c.ThreadID, c.RunID))
	if !ok {
		return
	}
	ref, id := c.Ref, c.ID
	told := func(ok bool) { s.tell(control.NameSteered, &control.Steered{Ref: ref, ID: id, OK: ok}) }
	if err := s.srv.hub.Say(ctx, key, id, c.Text, told); err != nil {
		s.tellGone(ref, "", nil)
		s.noteGuess(err)
	}
}

// hasRuns reports whether the connection is attached to any.
func (s *controlSession) hasRuns() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.attachments) > 0
}

// attached are the attachments. Under mu.
func (s *controlSession) attached() []*attachment {
	list := make([]*attachment, 0, len(s.attachments))
	for _, a := range s.attachments {
		list = append(list, a)
	}
	return list
}

// drained sends on: each attachment that is behind has its turn. On the loop.
func (s *controlSession) drained() {
	s.mu.Lock()
	list := s.attached()
	s.mu.Unlock()
	for len(list) > 0 {
		kept := list[:0]
		for _, a := range list {
			if a.viewer.Pull() {
				kept = append(kept, a)
			} else {
				a.viewer.WhenLevel(a.announce) // there may have been no room for that either
			}
		}
		list = kept
	}
}
