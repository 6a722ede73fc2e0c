package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

const (
	// maxControls is how many controls of a connection may wait; one more closes it.
	maxControls = 64
	// maxAttachments is how many attachments a connection may have, and how many follows.
	maxAttachments = 64
	// controlTime is how long one control may take, unless a test says otherwise.
	controlTime = 5 * time.Second
)

// controlSession is a connection of agloop.v1: it carries out the controls of its client, one after
// another, and has its attachments. Rules R27, R31, R32.
type controlSession struct {
	// Immutable.
	srv       *Server
	conn      *Conn
	proto     bool         // events are protobuf, and all frames binary
	network   netip.Prefix // the client's, for quotas
	startRate *loop.Bucket

	// The loop.
	early int // bytes of messages that came while the connection awaited its token

	// Any goroutine.
	going atomic.Bool // the client was told that the server shuts down

	// The connection, under its lock.
	selection loop.Selection

	// The session's goroutine.
	invented int  // runs that it has cancelled and that nobody knew
	bound    bool // a control came that bind must not come behind
	keptOut  bool // it has guessed too often: nothing more is carried out

	// Any goroutine, under mu, which comes after the locks of logs and of the hub.
	mu          sync.Mutex
	active      bool // it has a goroutine
	asking      bool // Authorize is asked about a token: controls wait
	gone        bool // the connection is
	waiting     []*bufpool.Buffer
	bytes       int       // of waiting
	advancing   []*follow // that may have a run to go on with
	scope       *scope    // of a client without a principal
	used        bool      // it may have runs in its scope
	number      uint64    // of the last attachment
	attachments map[uint64]*attachment
	byKey       map[RunKey]*attachment // the latest of a run
	follows     map[string]*follow
	own         map[RunKey]struct{} // runs that it started or attached
}

// controlSessions are those of a server.
type controlSessions struct {
	// Any goroutine, under mu.
	mu  sync.Mutex
	all map[*controlSession]struct{}
}

func (l *controlSessions) add(s *controlSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*controlSession]struct{})
	}
	l.all[s] = struct{}{}
}

func (l *controlSessions) remove(s *controlSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, s)
}

func (l *controlSessions) list() (list []*controlSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.all {
		list = append(list, s)
	}
	return list
}

// opcode is that of all frames. s is nil for a connection without a subprotocol.
func (s *controlSession) opcode() Opcode {
	if s != nil && s.proto {
		return Binary
	}
	return Text
}

// openControl makes the session of a connection that speaks agloop.v1, and greets. On the loop.
func openControl(srv *Server, c *Conn, proto bool) *controlSession {
	info, rates := c.Info(), &srv.cfg.Rates
	s := &controlSession{
		srv: srv, conn: c, proto: proto, network: loop.NetworkOf(info.Remote.Addr()),
		startRate:   loop.NewBucket(rates.Runs, rates.RunsBurst),
		attachments: make(map[uint64]*attachment), byKey: make(map[RunKey]*attachment),
		follows: make(map[string]*follow), own: make(map[RunKey]struct{}),
		selection: loop.Selection{Binary: proto},
	}
	hello := control.Hello{
		Version: control.Version, Resumable: control.ResumableProcess,
		Limits: control.HelloLimits{
			Message: srv.cfg.Limits.MaxMessage, Attachments: maxAttachments, Controls: maxControls, Steer: run.MaxSteer,
		},
	}
	store := srv.hub.StoreInfo()
	if hello.Boot = store.Boot; store.Durable {
		hello.Resumable = control.ResumableDurable
	}
	if info.Principal.Key == "" && !loop.AwaitsToken(c) {
		s.scope, hello.Secret = srv.scopes.create()
	}
	s.tell(control.NameHello, &hello)
	srv.controls.add(s) // behind it, since who shuts down tells all of them
	if srv.stopping() {
		s.tellGoing()
	}
	return s
}

// tell sends a control. Any goroutine.
func (s *controlSession) tell(name string, body any) {
	b, err := control.Append(nil, name, body)
	if err != nil {
		s.srv.log.Error("agloop: a control could not be encoded", "name", name, "err", err)
		return
	}
	s.conn.SendNow(s.opcode(), b)
}

// retryAfter is after how many seconds the clients of a server that shuts down are to come back.
const retryAfter = 1

func (s *controlSession) tellGoing() {
	if s.going.Swap(true) {
		return
	}
	s.tell(control.NameGoing, &control.Going{RetryAfter: retryAfter})
}

// principal is whose the connection is now.
func (s *controlSession) principal() auth.Principal {
	p, _ := loop.GrantOf(s.conn)
	return p
}

// keyOf is the name of a run that the client asks for, in its own scope.
func (s *controlSession) keyOf(thread, id string) RunKey {
	scope := s.principal().Key
	if scope == "" {
		s.mu.Lock()
		scope = s.scope.name
		s.mu.Unlock()
	}
	return RunKey{Scope: scope, Thread: thread, Run: id}
}

// handle carries out one control, or an input, which is a start without a ref.
func (s *controlSession) handle(raw *bufpool.Buffer) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.release(raw)
	}()
	if s.keptOut {
		return
	}
	ctx, cancel := context.WithTimeout(s.srv.cfg.BaseContext, s.srv.controlTime)
	defer cancel()
	if loop.AwaitsToken(s.conn) && !isAuth(raw.B) {
		s.conn.Close(CloseAuthTimeout, noAuth)
		return
	}
	if !control.IsControl(raw.B) {
		s.bound = true
		s.start(ctx, "", raw.B)
		return
	}
	name, body, err := control.Parse(raw.B)
	if err != nil {
		s.conn.Close(frame.CloseUnsupported, "control is not [name,{…}]")
		return
	}
	switch name {
	case control.NameAuth:
		if !read(s, body, s.auth) && loop.AwaitsToken(s.conn) {
			s.conn.Close(CloseAuthTimeout, "auth is malformed")
		}
		return
	case control.NameBind:
		read(s, body, s.bind)
		s.bound = true
		return
	case control.NameStart:
		read(s, body, func(c *control.Start) { s.start(ctx, c.Ref, c.Input) })
	case control.NameAttach:
		read(s, body, func(c *control.Attach) { s.attach(ctx, c) })
	case control.NameFollow:
		read(s, body, func(c *control.Follow) { s.follow(ctx, c) })
	case control.NameLeave:
		read(s, body, s.leave)
	case control.NameCancel:
		read(s, body, func(c *control.Cancel) { s.cancel(ctx, c) })
	case control.NameSteer:
		read(s, body, func(c *control.Steer) { s.steer(ctx, c) })
	default:
		s.srv.unknownControls.Add(1)
		return
	}
	s.bound = true
}

// read decodes what a control carries and hands it on, or says what is wrong with it. It reports
// whether it has handed it on.
func read[T any](s *controlSession, body json.RawMessage, do func(*T)) bool {
	var c T
	if !s.decode(body, &c) {
		return false
	}
	if r, ok := any(&c).(interface{ Reference() string }); ok && len(r.Reference()) > maxRef {
		s.reject("", control.CodeMalformed, "ref")
		return false
	}
	do(&c)
	return true
}

// decode decodes what a control carries. It reports whether that is well formed, and tells the
// client if it is not.
func (s *controlSession) decode(body json.RawMessage, c any) bool {
	err := json.Unmarshal(body, c)
	if err == nil {
		return true
	}
	var named struct {
		Ref any `json:"ref"`
	}
	_ = json.Unmarshal(body, &named)
	ref, _ := named.Ref.(string)
	if len(ref) > maxRef {
		ref = ""
	}
	field := ""
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field = wrong.Field
	}
	s.reject(ref, control.CodeMalformed, field)
	return false
}

// maxRef is how long a ref may be, in bytes: it comes back in every answer.
const maxRef = 128

func (s *controlSession) reject(ref, code, field string) {
	s.tell(control.NameRejected, &control.Rejected{Ref: ref, Code: code, Field: field})
}

// authorize asks the host whether the client may do something. The client has been told when ok is
// false.
func (s *controlSession) authorize(ctx context.Context, ref string, action Action, key RunKey) (_ RunKey, ok bool) {
	key, err := s.srv.authorizeRun(ctx, s.principal(), action, key)
	switch {
	case err == nil:
		return key, true
	case err == errNotAllowed:
		if action != ActionCancel { // which has no answer
			s.tellGone(ref, "", nil)
		}
		if action != ActionStart { // which names nothing that is there
			s.noteGuess(run.ErrGone)
		}
	case action == ActionCancel:
	default:
		s.reject(ref, control.CodeTimeout, "")
	}
	return key, false
}

// tellGone says that a request ends, or a run of a follow. reason is nil for who may not know.
func (s *controlSession) tellGone(ref, runID string, reason error) {
	g := &control.Gone{Ref: ref, RunID: runID}
	if reason != nil {
		g.Reason = run.GoneReason(reason)
	}
	s.srv.gone.note(g.Reason)
	s.tell(control.NameGone, g)
}

// noteGuess counts a request that failed because what the client has named was never there, or is not for
// it, which are the same to whom may not know. Rates.Guesses says how often a network may do so.
func (s *controlSession) noteGuess(err error) {
	if !errors.Is(err, run.ErrGone) || run.GoneReason(err) != "" { // it was there
		return
	}
	remote := s.conn.Info().Remote
	if !s.srv.door.Guessed(remote.Addr()) {
		return
	}
	s.keptOut = true
	s.srv.log.Warn("agloop: a network asks too often for runs or sessions that are not there, and is kept out for a while; "+
		"if it is a proxy, name it in TrustedProxies, see also Rates.Guesses", "remote", remote)
	s.conn.Close(ClosePolicy, "asked too often for what is not there")
}

// connectionGone ends the session with its connection. On the loop.
func (s *controlSession) connectionGone() {
	s.srv.controls.remove(s)
	s.mu.Lock()
	s.gone = true
	s.keepCancels()
	viewers, follows := s.attached(), s.follows
	s.follows = nil
	scope, used := s.scope, s.used
	s.mu.Unlock()
	for _, f := range follows {
		f.stop()
	}
	for _, a := range viewers {
		a.viewer.Leave()
	}
	if scope != nil {
		s.srv.scopes.leave(scope, used, s.srv.liveScopes)
	}
}
