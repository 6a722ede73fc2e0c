package agui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// Emitter sends events: a run, or a subagent of one. Emit must not keep ev when it returns.
type Emitter interface {
	Emit(ev Event) error
}

// ErrStateNested is the error of a change of a [State] within a change of the same one.
var ErrStateNested = errors.New("agloop: a State is changed within a change of it: make the change after Update has returned")

// maxDeltaDepth is how deep a state may nest whose values a patch holds: readers take 64 levels, and a
// value in a patch stands three deeper than it would alone.
const maxDeltaDepth = 61

// State is the state that an agent shares with its client, as a Go value. Each change is sent when it
// is made: as STATE_DELTA or as STATE_SNAPSHOT, whichever is fewer bytes of JSON, and not at all when
// the JSON of the value stays the same.
//
// The value is what encoding/json makes of it: T must be encoded and decoded again without loss, what
// is not encoded is not kept, and a number in an interface is a [json.Number], which keeps all digits.
// A member that a delta adds to an object stands last there for the client.
//
// Methods may be called from any goroutine. Changes are made one after another, and their events are
// sent in that order; one waits as Emit does, and so do those behind it. A change that cannot be sent
// is not made: the value is then what the client has.
type State[T any] struct {
	to Emitter

	// Any goroutine.
	wire   atomic.Pointer[[]byte] // what the client has: compact JSON, never written to
	turn   chan struct{}          // of capacity 1; it is full while somebody changes the state
	holder atomic.Uint64          // the goroutine that does; 0: none

	// The holder.
	next *T // the value of wire, which nobody else has; nil: to be decoded
}

func newState[T any](to Emitter) *State[T] {
	return &State[T]{to: to, turn: make(chan struct{}, 1)}
}

// NewState begins with a value, whatever the state was before: STATE_SNAPSHOT. Errors as those of
// [State.Update].
func NewState[T any](to Emitter, value T) (*State[T], error) {
	s := newState[T](to)
	raw, next, err := encodeState(value)
	if err != nil {
		return nil, err
	}
	if err := to.Emit(&StateSnapshot{Snapshot: raw}); err != nil {
		return nil, err
	}
	s.next = next
	s.wire.Store(&raw)
	return s, nil
}

// StateOf begins with the state of an input, which its client has; none is {}. It sends the change where
// T makes another value of it, for instance without members that T does not have. The error says why it
// cannot be decoded into T, or is one of those of [State.Update].
func StateOf[T any](to Emitter, input *RunAgentInput) (*State[T], error) {
	wire := []byte("{}")
	if len(input.State) > 0 && string(input.State) != "null" {
		var err error
		if wire, err = compactJSON(input.State); err != nil {
			return nil, fmt.Errorf("agloop: state of the input: %w", err)
		}
	}
	s := newState[T](to)
	s.wire.Store(&wire)
	value, err := decodeState[T](wire)
	if err != nil {
		return nil, fmt.Errorf("agloop: state of the input: %w", err)
	}
	if err := s.Set(*value); err != nil {
		return nil, err
	}
	return s, nil
}

// Get returns the value that the client has. It is a copy, and the caller's own. It does not wait for a
// change that is being made, and may be called within one.
func (s *State[T]) Get() T {
	value, err := decodeState[T](*s.wire.Load())
	if err != nil { // each value was decoded before it was sent
		panic(err)
	}
	return *value
}

// Set makes value the state.
func (s *State[T]) Set(value T) error {
	return s.Update(func(state *T) { *state = value })
}

// Update has change change the value and sends what has changed. The pointer is of use until change
// returns. change must not change the same State, which is [ErrStateNested]; it may change another one.
// When it panics, nothing is changed.
//
// Errors: those of encoding/json, for a value that cannot be encoded or decoded again; those of Emit;
// ErrStateNested. The value stays as it was then.
func (s *State[T]) Update(change func(state *T)) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.unlock()
	value := s.next
	s.next = nil // unless the change is sent
	if value == nil {
		var err error
		if value, err = decodeState[T](*s.wire.Load()); err != nil {
			return err
		}
	}
	change(value)
	raw, next, err := encodeState(*value)
	if err != nil {
		return err
	}
	if err := s.send(raw); err != nil {
		return err
	}
	s.next = next
	s.wire.Store(&raw)
	return nil
}

// send tells the client that the state is raw now.
func (s *State[T]) send(raw []byte) error {
	before := *s.wire.Load()
	ops, size := diff(before, raw)
	switch {
	case len(ops) == 0:
		return nil
	case deltaHead+size < snapshotHead+len(raw) && jsonDepth(raw) <= maxDeltaDepth:
		if s.to.Emit(&StateDelta{Delta: ops}) == nil {
			return nil
		}
		// Where patches have a closer limit than that of Diff, the snapshot may pass. A run that is
		// over refuses both.
	}
	return s.to.Emit(&StateSnapshot{Snapshot: raw})
}

// What the two events take beside the patch and the state, in bytes.
const (
	deltaHead    = len(`{"type":"STATE_DELTA","delta":}`)
	snapshotHead = len(`{"type":"STATE_SNAPSHOT","snapshot":}`)
)

// lock waits until nobody else changes the state. It is no mutex, since time under testing/synctest
// stands still while somebody waits for one, and who holds this one may wait for a reader.
func (s *State[T]) lock() error {
	own := goroutineID()
	select {
	case s.turn <- struct{}{}:
	default:
		if s.holder.Load() == own {
			return ErrStateNested
		}
		s.turn <- struct{}{}
	}
	s.holder.Store(own)
	return nil
}

func (s *State[T]) unlock() {
	s.holder.Store(0)
	<-s.turn
}

// encodeState returns a value as compact JSON, and what that is decoded to.
func encodeState[T any](value T) (raw []byte, next *T, err error) {
	if raw, err = encodeJSON(nil, value); err == nil {
		next, err = decodeState[T](raw)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("agloop: state: %w", err)
	}
	return raw, next, nil
}

func decodeState[T any](raw []byte) (*T, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	value := new(T)
	if err := d.Decode(value); err != nil {
		return nil, err
	}
	return value, nil
}

// goroutineID returns the number that the runtime gives the goroutine, which is never 0. Nothing else
// tells a change within a change, which would wait for itself, from one of another goroutine, which
// has to wait.
func goroutineID() (id uint64) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
