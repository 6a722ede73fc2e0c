package agloop

import (
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestR25TheLifeOfASession: it ends ten minutes behind its last connection and its last run, and
// nothing sweeps when there is nothing to sweep, or when the server has ended.
func TestR25TheLifeOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scopes
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		running := map[string]bool{}
		var mu sync.Mutex
		live := func() map[string]bool {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(running)
		}
		run := func(name string, on bool) {
			mu.Lock()
			defer mu.Unlock()
			running[name] = on
		}
		there := func(secret string) bool {
			sc := s.bind(secret)
			if sc != nil {
				s.leave(sc, true, live)
			}
			return sc != nil
		}

		// kept is how many there are, how many of them unused, and whether they are swept.
		kept := func() (all, unused int, swept bool) {
			synctest.Wait() // for a sweep of this moment
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.byHash), s.unused, s.sweep != nil
		}
		unused, itsSecret := s.create()
		s.leave(unused, false, live)
		if _, n, _ := kept(); !there(itsSecret) || n != 1 { // it was asked for, and so is used from now on
			t.Error("a session is lost whose first start was lost")
		}
		time.Sleep(scopeLife + 2*scopeSweep)
		unused, _ = s.create()
		s.leave(unused, false, live)
		time.Sleep(2 * scopeSweep)
		if all, n, swept := kept(); all != 0 || swept || n != 0 {
			t.Error("a session that was not used is kept for long")
		}
		for range maxUnused + 10 {
			unused, _ = s.create()
			s.leave(unused, false, live)
		}
		if all, n, _ := kept(); all != maxUnused || n != maxUnused {
			t.Errorf("%d sessions that were not used are kept", all)
		}
		time.Sleep(2 * scopeSweep)

		sc, secret := s.create()
		pass(time.Hour)
		if !there(secret) {
			t.Error("it has ended while it is connected")
		}
		run(sc.name, true)
		s.leave(sc, true, live)
		pass(time.Hour)
		if all, _, _ := kept(); all != 1 {
			t.Fatal("it has ended while a run goes on")
		}
		run(sc.name, false)
		pass(scopeLife - scopeSweep)
		if all, _, _ := kept(); all != 1 {
			t.Fatal("it has ended too early")
		}
		joined := s.bind(secret) // a connection at the last moment
		pass(scopeLife + 2*scopeSweep)
		if all, _, _ := kept(); all != 1 {
			t.Fatal("it has ended while it is connected again")
		}
		s.leave(joined, true, live)
		pass(scopeLife + 2*scopeSweep)
		if all, _, swept := kept(); all != 0 || swept || there(secret) {
			t.Error("it goes on")
		}

		left, _ := s.create()
		s.stop()
		s.leave(left, true, live)
		if _, _, swept := kept(); swept {
			t.Error("the session of a server that has ended is swept")
		}
	})
}
