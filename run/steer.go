package run

import (
	"context"
	"sync"

	"github.com/agloop/agloop/agui"
)

const (
	// MaxSteer is how long a text may be that is said to a run, in bytes.
	MaxSteer = 64 << 10
	// maxSteers is how many may wait for the agent to take them.
	maxSteers = 64
	// maxAnswers is how many answers are remembered, so that the same id has the same one.
	maxAnswers = 1024
)

// steering is what people say to a run that goes on. The zero value is ready.
type steering struct {
	// Any goroutine, under mu.
	mu        sync.Mutex
	listening bool // the agent has asked for it
	over      bool // the run has had its terminal event
	waiting   []*steer
	answers   map[string]bool // of those that do not wait any more
	order     []string        // of answers
	ready     chan struct{}   // holds a token while some wait
}

// steer is one text that waits.
type steer struct {
	id, text string
	told     []func(ok bool)
}

// say has a text wait for the agent. told is called once, by any goroutine: with the answer that the
// id has already, or when there is one.
func (s *steering) say(id, text string, told func(ok bool)) {
	if ok, known := s.enqueue(id, text, told); known {
		told(ok)
	}
}

// enqueue is the part of say under mu. It returns the answer where there is one.
func (s *steering) enqueue(id, text string, told func(ok bool)) (ok, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok, known := s.answers[id]; known {
		return ok, true
	}
	for _, w := range s.waiting {
		if w.id == id {
			w.told = append(w.told, told)
			return false, false
		}
	}
	if s.over || !s.listening || len(s.waiting) == maxSteers {
		return false, true // and it may be said again
	}
	s.waiting = append(s.waiting, &steer{id, text, []func(bool){told}})
	s.notify()
	return false, false
}

// notify keeps the token where there is something to take. Under mu.
func (s *steering) notify() {
	if s.ready == nil {
		s.ready = make(chan struct{}, 1)
	}
	if len(s.waiting) > 0 {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// listen says that the agent takes texts from now on.
func (s *steering) listen() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = true
	s.notify()
	return s.ready
}

// take returns the oldest that waits, nil where there is none.
func (s *steering) take() *steer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = true
	if len(s.waiting) == 0 {
		return nil
	}
	w := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	s.notify()
	return w
}

// answer tells who said it whether it was taken.
func (s *steering) answer(w *steer, ok bool) {
	s.mu.Lock()
	if s.answers == nil {
		s.answers = make(map[string]bool)
	}
	if _, known := s.answers[w.id]; !known {
		s.order = append(s.order, w.id)
	}
	s.answers[w.id] = ok
	if len(s.order) > maxAnswers {
		delete(s.answers, s.order[0])
		s.order = s.order[1:]
	}
	told := w.told
	s.mu.Unlock()
	for _, f := range told {
		f(ok)
	}
}

// end answers all that wait: the run is over.
func (s *steering) end() {
	s.mu.Lock()
	s.over = true
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, w := range waiting {
		s.answer(w, false)
	}
}

// Steering returns a channel that holds a token while somebody has said something to the run that
// the agent has not taken, see TakeSteer. Who says something before the agent's first call of
// Steering is told that the agent does not listen; so is everybody where the run has no log.
func (r *Run) Steering() <-chan struct{} {
	if r.live == nil {
		return nil
	}
	return r.live.steering.listen()
}

// TakeSteer takes the oldest text that somebody has said to the run; ok is false where there is
// none. The run emits it as a user message, so that every viewer sees it. Errors as Emit; the text
// is not taken then.
func (r *Run) TakeSteer() (text string, ok bool, err error) {
	if r.live == nil {
		return "", false, nil
	}
	w := r.live.steering.take()
	if w == nil {
		return "", false, nil
	}
	err = r.emitMessage(w.id, w.text)
	r.live.steering.answer(w, err == nil)
	return w.text, err == nil, err
}

// emitMessage emits a user message.
func (r *Run) emitMessage(id, text string) error {
	for _, ev := range [...]agui.Event{
		&agui.TextMessageStart{MessageID: id, Role: agui.RoleUser},
		&agui.TextMessageContent{MessageID: id, Delta: text},
		&agui.TextMessageEnd{MessageID: id},
	} {
		if err := r.Emit(ev); err != nil {
			return err
		}
	}
	return nil
}

// Viewers is how many viewers the run has now; where it has no log, 1.
func (r *Run) Viewers() int {
	if r.live == nil {
		return 1
	}
	return r.live.Viewers()
}

// Say says something to the run. told is called once, by any goroutine: ok when the agent has taken
// it, not ok when the run ends or its agent does not listen. The same id has the same answer. text
// is valid UTF-8 of at most MaxSteer bytes.
func (l *Live) Say(id, text string, told func(ok bool)) { l.steering.say(id, text, told) }

// Steer is Say that waits for the answer, under a fresh id; not ok when ctx ends first.
func (l *Live) Steer(ctx context.Context, text string) (ok bool) {
	if len(text) > MaxSteer {
		return false
	}
	answer := make(chan bool, 1)
	l.Say(newID("steer-"), toUTF8(text), func(ok bool) { answer <- ok })
	select {
	case ok := <-answer:
		return ok
	case <-ctx.Done():
		return false
	}
}
