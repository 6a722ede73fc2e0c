package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/handshake"
)

// A door that has Authorize asks it in goroutines of its own, so that it may block: maxJudges
// requests at once, the others in the order in which they came. Meanwhile the connection is judging
// on its loop, which keeps what arrives and goes on with its deadlines.

const (
	maxJudges = 256
	// maxEarly is how much a client may send behind its request before that is answered, in bytes.
	maxEarly = 16 << 10
)

// judges are the goroutines that ask Authorize.
type judges struct {
	// Any goroutine, under mu.
	mu      sync.Mutex
	running int
	waiting []*judgement
}

// judgement is one question to Authorize.
type judgement struct {
	// Immutable.
	conn    *Conn // that is told of the verdict
	request *auth.Request
	key     []byte // of the handshake
	ctx     context.Context
	cancel  context.CancelFunc
	also    http.Header   // fields of the response that are not Authorize's
	told    chan struct{} // closed when the verdict is there; nil for one that its loop awaits
	// Of a token, see Present.
	presented func(error)
	held      int // bytes in the ledger

	// Any goroutine.
	verdict atomic.Pointer[verdict]
}

// verdict is what Authorize said.
type verdict struct {
	grant auth.Grant
	err   error
}

// newJudgement copies the request of c.
func newJudgement(ctx context.Context, c *Conn, req *handshake.Request, https bool, state *tls.ConnectionState) *judgement {
	j := &judgement{conn: c, request: copyRequest(req, https, c.entry().info.Remote), key: slices.Clone(req.Key)}
	j.request.TLS = state
	j.ctx, j.cancel = context.WithCancel(ctx)
	return j
}

func copyRequest(req *handshake.Request, https bool, remote netip.AddrPort) *auth.Request {
	r := &auth.Request{
		Method: string(req.Method), Path: pathOf(req), RawQuery: string(req.Query), Host: string(req.Host),
		Scheme: "http", Header: req.Header(), Remote: remote,
	}
	if https {
		r.Scheme = "https"
	}
	for _, p := range req.Protocols() {
		r.Protocols = append(r.Protocols, string(p))
	}
	return r
}

// pathOf is the path of a flawless request without its escapes.
func pathOf(req *handshake.Request) string {
	path, err := url.PathUnescape(string(req.Path))
	if err != nil {
		return string(req.Path) // never: its escapes were checked
	}
	return path
}

// ask has Authorize asked. Any goroutine.
func (d *Door) ask(j *judgement) {
	d.judges.mu.Lock()
	defer d.judges.mu.Unlock()
	if d.judges.running == maxJudges {
		d.judges.forget()
		d.judges.waiting = append(d.judges.waiting, j)
		return
	}
	d.judges.running++
	go d.judge(j)
}

// judge answers one judgement and then those that wait.
func (d *Door) judge(j *judgement) {
	for j != nil {
		d.authorizeOne(j)
		j = d.judges.next()
	}
}

// forget drops those that have waited longest and for which nobody waits any more: where Authorize
// hangs they would pile up. Under mu.
func (s *judges) forget() {
	for len(s.waiting) > 0 && s.waiting[0].ctx.Err() != nil {
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
	}
}

// next is the next judgement that waits, or nil: then the goroutine that asks is to end.
func (s *judges) next() *judgement {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.running--
		return nil
	}
	j := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	return j
}

// authorizeOne calls Authorize, whatever that does.
func (d *Door) authorizeOne(j *judgement) {
	v := &verdict{err: errServerFailed}
	returned := false
	defer func() {
		p := recover()
		if p != nil {
			d.Counters.Panics.Add(1)
			d.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in Authorize",
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
		j.tell(v)
		if !returned && p == nil { // runtime.Goexit ends this goroutine, so another one goes on
			go d.judge(d.judges.next())
		}
	}()
	if err := j.ctx.Err(); err != nil { // nobody waits for it any more
		v.err = err
	} else {
		v.grant, v.err = d.authorize(j.ctx, j.request)
	}
	returned = true
}

// tell has the verdict acted on.
func (j *judgement) tell(v *verdict) {
	j.verdict.Store(v)
	if j.told != nil {
		close(j.told)
		return
	}
	j.conn.perform(actLoop, 0)
}

// settle makes the response of a verdict, or says why there is none.
func (j *judgement) settle() (response []byte, err error) {
	c, v := j.conn, j.verdict.Load()
	switch {
	case v.err != nil && j.ctx.Err() != nil:
		return nil, j.late()
	case v.err == nil:
		response, err = j.welcome(v.grant)
	case errors.Is(v.err, auth.ErrAuthLater):
		response, err = j.welcomeLater()
	default:
		err = v.err
		c.endpoint.door.refused.authorize.Add(1)
	}
	if err != nil {
		c.endpoint.door.logRefusal(err, &c.entry().info)
	}
	return response, err
}

// welcome is Conn.welcome with the subprotocol of the grant.
func (j *judgement) welcome(g auth.Grant) ([]byte, error) {
	protocol := g.Protocol
	if protocol == "" {
		protocol = handshake.SelectProtocol(j.conn.endpoint.door.protocols, j.request.Protocols)
	} else if !slices.Contains(j.request.Protocols, protocol) {
		return nil, fmt.Errorf("%w: Grant.Protocol %q was not offered", errServerFailed, protocol)
	}
	response, err := j.conn.welcome(nil, j.key, protocol, j.conn.agree(j.request.Header[extensionsField]), g, j.also)
	if err == nil && g.Principal.Key != "" {
		j.mayComeLater()
	}
	return response, err
}

// late is why nobody waits for the verdict any more.
func (j *judgement) late() error {
	if j.conn.endpoint.door.stopped() {
		return errShutdown
	}
	return errLate
}

// beginJudging leaves a request to Authorize.
func (c *Conn) beginJudging(j *judgement) {
	c.loop.owner.check()
	c.ensureTransient().judged = j
	c.state = judging
	c.endpoint.door.ask(j)
}

// endJudging forgets the judgement, whose verdict does not matter any more.
func (c *Conn) endJudging() {
	if h := c.transient; h != nil && h.judged != nil {
		h.judged.cancel()
		h.judged = nil
	}
}

// keepEarly keeps what arrives while Authorize is asked.
func (c *Conn) keepEarly(view []byte) int {
	h := c.transient
	switch {
	case h.head == nil && len(view) <= maxEarly:
		h.head = bufpool.Get(len(view)).Append(view)
	case h.head != nil && len(h.head.B)+len(view) <= maxEarly:
		h.head = h.head.Append(view)
	default:
		c.refuse(errEarly)
	}
	return len(view)
}

// checkVerdict acts on the verdict if it is there.
func (c *Conn) checkVerdict() {
	c.loop.owner.check()
	j := c.transient.judged
	if j.verdict.Load() == nil {
		return
	}
	c.turn(func() {
		response, err := j.settle()
		if err != nil {
			c.refuse(err)
			return
		}
		c.endJudging()
		if !c.putRaw(response) {
			c.closeNow()
			return
		}
		early := c.transient.head
		c.transient.head = nil
		c.established()
		if early != nil {
			c.receivePlain(early.B)
			early.Release()
		}
		c.trimTransient()
	})
}
