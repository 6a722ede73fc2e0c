package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"
)

const (
	ticketLife     = 30 * time.Second
	maxTickets     = 100_000 // that wait to be used, of all users
	maxTicketsEach = 8       // of one user
)

// tickets are those that wait to be used. They are in the memory of this process: where several
// serve, a ticket must come back to the one that issued it, or be kept in a store of them all.
type tickets struct {
	// Immutable.
	life    time.Duration
	most    int
	perUser int

	// Any goroutine, under mu.
	mu      sync.Mutex
	waiting map[string]ticket // by their text
	of      map[string]int    // how many wait, by user; none is zero
}

// ticket says whose it is.
type ticket struct {
	user   string
	expiry *time.Timer
}

var (
	errTooManyOfYours = errors.New("too many tickets of yours wait to be used")
	errTooMany        = errors.New("too many tickets wait to be used")
)

func newTickets(life time.Duration, most, perUser int) *tickets {
	return &tickets{
		life: life, most: most, perUser: perUser,
		waiting: make(map[string]ticket), of: make(map[string]int),
	}
}

// issue returns a new ticket of the user.
func (s *tickets) issue(user string) (string, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	text := hex.EncodeToString(random[:])

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[user] >= s.perUser:
		return "", errTooManyOfYours
	case len(s.waiting) >= s.most:
		return "", errTooMany
	}
	s.waiting[text] = ticket{user, time.AfterFunc(s.life, func() { s.take(text) })}
	s.of[user]++
	return text, nil
}

// take uses a ticket up and returns its user. Of several that take one at the same time one gets
// it.
func (s *tickets) take(text string) (user string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.waiting[text]
	if !ok {
		return "", false
	}
	t.expiry.Stop()
	delete(s.waiting, text)
	if s.of[t.user]--; s.of[t.user] == 0 {
		delete(s.of, t.user)
	}
	return t.user, true
}
