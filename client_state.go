package agloop

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// ConnState is what a client's connection does.
type ConnState struct {
	Phase ConnPhase
	// Attempt counts the attempts to connect since there was a connection, the next one included; of
	// ConnReconnecting.
	Attempt int
	// At is when the next attempt is made; of ConnReconnecting, zero while one is being made.
	At time.Time
	// Err is why there is no connection; of ConnReconnecting and ConnClosed. It is ErrClientClosed
	// after Close.
	Err error
}

// ConnPhase is one of the five things that a client's connection does.
type ConnPhase uint8

const (
	// ConnConnecting: Dial, or a call that needs a connection, dials.
	ConnConnecting ConnPhase = iota
	// ConnOpen: the connection is up.
	ConnOpen
	// ConnReconnecting: the connection ended and is dialled again; see Resume.
	ConnReconnecting
	// ConnGoing: the connection is up, and the server has said that it shuts down. The client moves
	// to another by itself.
	ConnGoing
	// ConnClosed: there is no connection, and none is dialled until a call needs one; after Close
	// none ever is.
	ConnClosed
)

func (p ConnPhase) String() string {
	switch p {
	case ConnConnecting:
		return "connecting"
	case ConnOpen:
		return "open"
	case ConnReconnecting:
		return "reconnecting"
	case ConnGoing:
		return "going"
	}
	return "closed"
}

// states tells a host what its connection does, in order. There is a goroutine only while it is
// being told.
type states struct {
	// Immutable.
	hook func(ConnState) // nil tells nobody
	log  *slog.Logger

	// Any goroutine, under mu.
	mu      sync.Mutex
	now     ConnState
	untold  []ConnState
	telling bool
}

// set notes a new state.
func (s *states) set(now ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Phase == ConnClosed && s.now.Err == ErrClientClosed {
		return // that is for good
	}
	s.now = now
	if s.hook == nil {
		return
	}
	s.untold = append(s.untold, now)
	if !s.telling {
		s.telling = true
		go s.tell()
	}
}

// get returns the state of now.
func (s *states) get() ConnState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *states) tell() {
	for {
		s.mu.Lock()
		if len(s.untold) == 0 {
			s.telling = false
			s.mu.Unlock()
			return
		}
		next := s.untold[0]
		s.untold = s.untold[1:]
		s.mu.Unlock()
		s.call(next)
	}
}

// call calls the hook. What ends its goroutine does not end the telling.
func (s *states) call(state ConnState) {
	done := make(chan struct{})
	go func() { // a Goexit in the hook ends this goroutine and no other
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				s.log.Error("agloop: panic in OnState", "panic", v, "stack", string(debug.Stack()))
			}
		}()
		s.hook(state)
	}()
	<-done
}
