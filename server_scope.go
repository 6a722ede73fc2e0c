package agloop

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"sync"
	"time"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// scopes are those of clients without a principal: each is named by a secret that its client holds,
// and stored by the secret's hash. Rule R25.
type scopes struct {
	// Any goroutine, under mu.
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*scope
	sweep  *time.Timer // nil while there is nothing to sweep
	unused int         // how many have no connection, and were not used
	ended  bool        // the server has
}

// scope is that of one secret.
type scope struct {
	// Immutable.
	hash [sha256.Size]byte
	name string // the Scope of its runs

	// Any goroutine, under the scopes' mu.
	conns int
	used  bool      // it may have had runs
	since time.Time // without a connection and a run
}

const (
	// scopeLife is how long a scope lives after its last connection and its last run.
	scopeLife = 10 * time.Minute
	// unusedLife is how long one lives in which nobody has asked for anything: a start may have been
	// lost with the connection, and comes again.
	unusedLife = time.Minute
	// maxUnused is how many of those are kept at most: connections come and go for nothing.
	maxUnused = 16 << 10
	// scopeSweep is how often those are looked for that are to go.
	scopeSweep = time.Minute
)

// create makes a scope that has one connection, and returns its secret, 128 random bits.
func (s *scopes) create() (*scope, string) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	hash := sha256.Sum256([]byte(secret))
	sc := &scope{hash: hash, name: "anonymous:" + hex.EncodeToString(hash[:16]), conns: 1}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byHash == nil {
		s.byHash = make(map[[sha256.Size]byte]*scope)
	}
	s.byHash[hash] = sc
	return sc, secret
}

// bind returns the scope of a secret, with one more connection, or nil.
func (s *scopes) bind(secret string) *scope {
	hash := sha256.Sum256([]byte(secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := s.byHash[hash]
	if sc == nil || subtle.ConstantTimeCompare(sc.hash[:], hash[:]) != 1 {
		return nil
	}
	if sc.conns == 0 && !sc.used {
		s.unused--
	}
	sc.conns++
	return sc
}

// leave takes one connection off a scope, over which something may have been asked for in it. live
// returns the scopes that have a run.
func (s *scopes) leave(sc *scope, used bool, live func() map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc.used = sc.used || used
	if sc.conns--; sc.conns > 0 {
		return
	}
	if !sc.used {
		if s.unused == maxUnused {
			delete(s.byHash, sc.hash)
			return
		}
		s.unused++
	}
	sc.since = time.Now()
	if s.sweep == nil && !s.ended {
		s.sweep = time.AfterFunc(scopeSweep, func() { s.forget(live()) })
	}
}

// forget drops the scopes that have had neither a connection nor a run for long.
func (s *scopes) forget(live map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := false
	for hash, sc := range s.byHash {
		switch {
		case sc.conns > 0:
			continue
		case !sc.used && time.Since(sc.since) >= unusedLife:
			delete(s.byHash, hash)
			s.unused--
			continue
		case live[sc.name]:
			sc.since = time.Now()
		case time.Since(sc.since) >= scopeLife:
			delete(s.byHash, hash)
			continue
		}
		waiting = true
	}
	if waiting && !s.ended {
		s.sweep.Reset(scopeSweep)
	} else {
		s.sweep = nil
	}
}

// stop ends the sweeping.
func (s *scopes) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended = true; s.sweep != nil {
		s.sweep.Stop()
		s.sweep = nil
	}
}

// liveScopes are the scopes that have a run.
func (s *Server) liveScopes() map[string]bool {
	names := make(map[string]bool)
	for _, l := range s.hub.Live() {
		names[l.Info().Scope] = true
	}
	return names
}

// bind joins the scope of a secret.
func (s *controlSession) bind(c *control.Bind) {
	if s.bound || s.principal().Key != "" {
		s.reject(c.Ref, control.CodeOrder, "")
		return
	}
	joined := s.srv.scopes.bind(c.Secret)
	if joined == nil {
		s.tellGone(c.Ref, "", nil)
		s.noteGuess(run.ErrGone)
		return
	}
	s.mu.Lock()
	left, used := s.scope, false
	if s.gone {
		left, used = joined, true
	} else {
		s.scope, s.used = joined, true
	}
	s.mu.Unlock()
	s.srv.scopes.leave(left, used, s.srv.liveScopes)
}
