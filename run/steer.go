package run

import (
	"context"
	"slices"
	"sync"
	"unicode/utf8"

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
	taking    []*steer        // taken, and not answered yet: their emitting may wait for room
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
	for _, list := range [...][]*steer{s.waiting, s.taking} {
		if i := slices.IndexFunc(list, func(w *steer) bool { return w.id == id }); i >= 0 {
			if len(list[i].told) == maxAnswers {
				return false, true // whoever asks so often has an answer to come
			}
			list[i].told = append(list[i].told, told)
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

// take returns the oldest that waits, nil where there is none. It is to be answered.
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
	s.taking = append(s.taking, w)
	s.notify()
	return w
}

// answer tells who said it whether it was taken.
func (s *steering) answer(w *steer, ok bool) {
	for _, f := range s.noteAnswer(w, ok) {
		f(ok)
	}
}

// noteAnswer is the part of answer under mu. It returns who is to be told.
func (s *steering) noteAnswer(w *steer, ok bool) []func(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = make(map[string]bool)
	}
	s.answers[w.id] = ok // which has none yet: it was found waiting, or being taken, until now
	if s.order = append(s.order, w.id); len(s.order) > maxAnswers {
		delete(s.answers, s.order[0])
		s.order = s.order[1:]
	}
	s.taking = slices.DeleteFunc(s.taking, func(other *steer) bool { return other == w })
	return w.told
}

// end answers all that wait: the run is over.
func (s *steering) end() {
	for _, w := range s.takeAll() {
		s.answer(w, false)
	}
}

// takeAll takes all that wait, the last there are.
func (s *steering) takeAll() (all []*steer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	all, s.waiting = s.waiting, nil
	s.taking = append(s.taking, all...)
	return all
}

// answered reports whether anything has an answer.
func (s *steering) answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answers) > 0
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

// emitMessage emits a user message, whose text may be longer than an event.
func (r *Run) emitMessage(id, text string) error {
	if err := r.Emit(&agui.TextMessageStart{MessageID: id, Role: agui.RoleUser}); err != nil {
		return err
	}
	most := max((r.maxEvent-steerHead)/6, utf8.UTFMax) // an escaped byte takes six
	for len(text) > 0 {
		n := min(len(text), most)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		if err := r.Emit(&agui.TextMessageContent{MessageID: id, Delta: text[:n]}); err != nil {
			return err
		}
		text = text[n:]
	}
	return r.Emit(&agui.TextMessageEnd{MessageID: id})
}

// steerHead is about what an event of a message takes beside its text, in bytes.
const steerHead = 1 << 10

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
