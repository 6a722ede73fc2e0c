package agloop

import (
	"sync"

	"github.com/agloop/agloop/loop"
)

// Peer is a principal: all its connections to this server.
type Peer struct {
	srv *Server
	key string
}

// Peer returns the principal of that key, whether it is connected or not. Nobody has the key "".
func (s *Server) Peer(key string) *Peer { return &Peer{s, key} }

// Count is the number of its connections.
func (p *Peer) Count() int { return len(p.srv.peers.of(p.key)) }

// Conns says what each of its connections is, in no order.
func (p *Peer) Conns() (list []ConnInfo) {
	for _, c := range p.srv.peers.of(p.key) {
		list = append(list, *loop.InfoOf(c))
	}
	return list
}

// Kick closes its connections with code and reason, and returns how many those were. Their runs are
// cancelled with them. It does not wait, and keeps nobody from connecting again: that is up to
// Authorize.
func (p *Peer) Kick(code CloseCode, reason string) int {
	conns := p.srv.peers.of(p.key)
	for _, c := range conns {
		c.Close(code, reason)
	}
	return len(conns)
}

// peers are the connections whose principal has a key, by that key.
type peers struct {
	// Any goroutine, under mu.
	mu    sync.Mutex
	conns map[string]map[*Conn]struct{} // none is empty
}

func (p *peers) add(c *Conn, info *ConnInfo) {
	key := info.Principal.Key
	if key == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[string]map[*Conn]struct{})
	}
	if p.conns[key] == nil {
		p.conns[key] = make(map[*Conn]struct{}, 1)
	}
	p.conns[key][c] = struct{}{}
}

func (p *peers) remove(c *Conn, info *ConnInfo) {
	key := info.Principal.Key
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns[key], c)
	if len(p.conns[key]) == 0 {
		delete(p.conns, key)
	}
}

// of is a copy of the connections of one principal.
func (p *peers) of(key string) (list []*Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns[key] {
		list = append(list, c)
	}
	return list
}
