package main

import (
	"log/slog"
	"maps"
	"sync"

	"github.com/agloop/agloop/server"
)

// presence knows who is there, and with how many connections. Hooks of one connection come one
// after another, those of several at the same time.
type presence struct {
	// Any goroutine, under mu.
	mu    sync.Mutex
	conns map[string]int // by user; none is zero
}

// connected is told of a connection that was let in. It may take its time, to tell a store that
// several processes share, say: no loop waits for it.
func (p *presence) connected(info server.ConnInfo) {
	user := info.Principal.Key
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[string]int)
	}
	if p.conns[user]++; p.conns[user] == 1 {
		slog.Info("came", "user", user, "remote", info.Remote)
	}
}

// disconnected is told of the end of every connection that connected was told of.
func (p *presence) disconnected(info server.ConnInfo, why *server.CloseError) {
	user := info.Principal.Key
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[user]--; p.conns[user] == 0 {
		delete(p.conns, user)
		slog.Info("went", "user", user, "why", why)
	}
}

// list is how many connections everybody has who is there.
func (p *presence) list() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make(map[string]int, len(p.conns))
	maps.Copy(list, p.conns)
	return list
}
