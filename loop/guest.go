package loop

import (
	"errors"
	"net/http"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/handshake"
)

// errOrigins refuses what no browser sends.
var errOrigins = &handshake.UpgradeError{Status: 400, Reason: "repeated header field"}

// Guest is a request of plain HTTP that was let in. Until Leave it counts as a connection: it has a
// slot and its place in the quotas, and the door's policies held for it. Its methods may be called
// from any goroutine.
type Guest struct {
	// Immutable.
	conn   *Conn // that is on no loop
	header http.Header
}

// LetIn lets in a request that net/http has read and that asks for no WebSocket, or returns why not,
// for RefusalOf. Authorize is asked as for others; auth.ErrAuthLater is no answer, since this client
// can set any field. It waits for that, as long as a handshake may take.
func (d *Door) LetIn(r *http.Request) (*Guest, error) {
	id, ok := d.slots.Acquire()
	if !ok {
		d.refused.slots.Add(1)
		return nil, errFull
	}
	g := &Guest{conn: &Conn{endpoint: &d.Endpoint, id: id, user: &entry{}}}
	in := false
	defer func() { // also when Authorize's goroutine panics
		if !in {
			g.Leave()
		}
	}()
	if len(r.Header["Origin"]) > 1 {
		return nil, errOrigins
	}
	req, _, _ := handshake.ParseRequest(handshake.AppendHead(nil, r))
	https, err := g.conn.admitMounted(r, &req)
	if err != nil {
		return nil, err
	}
	grant := grantAll
	if d.authorize != nil {
		if grant, err = d.authorizeMounted(g.conn, r, &req, https); err != nil {
			return nil, err
		}
	}
	if err := g.conn.noteGrant("", grant); err != nil {
		return nil, err
	}
	g.header = grant.Header
	in = true
	return g, nil
}

// authorizeMounted asks Authorize about a request of plain HTTP, and waits for what it says.
func (d *Door) authorizeMounted(c *Conn, r *http.Request, req *handshake.Request, https bool) (auth.Grant, error) {
	j, done := d.askMounted(c, r, req, https, nil)
	defer done()
	select {
	case <-j.told:
	case <-j.ctx.Done():
		return auth.Grant{}, j.late()
	}
	v := j.verdict.Load()
	err := v.err
	switch {
	case err == nil:
		return v.grant, nil
	case j.ctx.Err() != nil:
		return auth.Grant{}, j.late()
	case errors.Is(err, auth.ErrAuthLater):
		err = errNeedsToken
	}
	d.refused.authorize.Add(1)
	d.logRefusal(err, &c.entry().info)
	return auth.Grant{}, err
}

// Info says who the guest is.
func (g *Guest) Info() ConnInfo { return g.conn.entry().info }

// Values are those of the Grant, keys and values in turn; they must not be changed.
func (g *Guest) Values() []any { return g.conn.entry().values }

// Header are the fields that the Grant adds to the response.
func (g *Guest) Header() http.Header { return g.header }

// Hold counts n more bytes that are kept for the guest; a negative n takes them off again.
func (g *Guest) Hold(n int) {
	if n != 0 {
		g.conn.endpoint.eng.ledger.Add(int(g.conn.id.cell()), n)
	}
}

// Leave ends the visit. It may be called again.
func (g *Guest) Leave() {
	g.conn.leave()
	g.conn.endpoint.door.slots.Release(g.conn.id)
}

// RefusalOf is what the client is told of an error of LetIn, which is counted as a refusal.
func (d *Door) RefusalOf(err error) *handshake.UpgradeError {
	refusal := refusalOf(err)
	countRefusal(&d.Counters, refusal)
	return refusal
}
