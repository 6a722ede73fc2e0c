package run

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Store is where logs outlive their runs, and perhaps their process: memory by default, see
// MemoryStore. Its methods may be called from any goroutine, those of one Log by one at a time.
// Bytes given to it are never changed by their giver, nor by the store.
//
// Package run/storetest judges an implementation.
type Store interface {
	// Info says what the store is.
	Info() StoreInfo
	// Open begins the log of a run, whose only writer has what it returns; it has o.Started as its
	// first event. When there is a log or a tombstone of that name, the error is an *ExistsError. Of
	// several that open at once one wins.
	Open(ctx context.Context, k RunKey, o Opening) (Log, error)
	// Bury leaves a tombstone where there is neither log nor tombstone, for as long as keep.
	Bury(ctx context.Context, k RunKey, cancelled bool, keep time.Duration) error
	// Read returns what follows a cursor, at most about so many bytes of events but at least one;
	// nothing where nothing follows yet. A zero Cursor is the start, also that of the log's own
	// epoch. The error is ErrGone, perhaps wrapped, where that cannot be given: ErrTrimmed,
	// ErrOtherEpoch, ErrFuture and ErrBuried wrap it and say why.
	Read(ctx context.Context, k RunKey, after Cursor, most int) (Batch, error)
	// List yields the logs and tombstones of a scope, in the order of their start, a tombstone that
	// was never a log in that of its Bury. An error is the last that it yields.
	List(ctx context.Context, scope string) iter.Seq2[Record, error]
}

// StoreInfo says what a store is.
type StoreInfo struct {
	// Boot names it: another one is another store, or has lost what it held.
	Boot string
	// Durable says that it outlives the process.
	Durable bool
}

// Opening is what is stored of a run before its agent is called.
type Opening struct {
	Info      RunInfo
	Epoch     uint64
	InputHash [32]byte // SHA-256 of the input as it was received
	Resumes   []string // ids of the interrupts that the input answers
	Started   []byte   // RUN_STARTED, the event of offset 1
	// Prelude is what takes the place of Started for who joins from the start: RUN_STARTED with the
	// input's messages, and a STATE_SNAPSHOT of its state unless it has none.
	Prelude [][]byte
}

// Record is what a store knows of a run without its events.
type Record struct {
	Info      RunInfo
	Epoch     uint64
	InputHash [32]byte
	Resumes   []string
	Last      uint64 // offset of the last event in the store
	State     RecordState
}

// RecordState is what there is of a run.
type RecordState uint8

const (
	// RecordLive is a log that has no end yet.
	RecordLive RecordState = iota
	// RecordEnded is a log with its terminal event.
	RecordEnded
	// RecordBuried is a tombstone: there was a run of that name.
	RecordBuried
	// RecordCancelled is a tombstone of a run that was cancelled before it began.
	RecordCancelled
)

// Entry is one event of a log, or a fold of several. The entries of a log have no gap between them.
type Entry struct {
	// Event is encoded.
	Event []byte
	// First and Through are the offsets that it stands for. They are the same but for a fold, and
	// for an event that follows others which were dropped, since a later one undoes what they do:
	// it is right for a viewer with any cursor from First-1 to Through-1.
	First, Through uint64
	// Pieces are, of a fold of deltas, the lengths of what each offset from First on has added to
	// the encoded delta, in bytes; 0 also for one that was dropped. nil for others.
	Pieces []uint32
}

// Batch is a part of a log, in order. Its bytes are never changed and may be kept.
type Batch struct {
	Record Record
	// Prelude is as in Opening, where reading begins at the start. Who sends it leaves out the first
	// of Entries, which is Started.
	Prelude [][]byte
	// Entries are what follows the cursor. The first is the rest of a fold that the cursor lies in.
	Entries []Entry
	// End says that nothing follows: the terminal event is the last of Entries, or the cursor's.
	End bool
}

// Log is a run's log as its writer sees it.
type Log interface {
	// Append adds events, the first of which has the given offset: one more than the last. It
	// returns when they are stored. The error is ErrFenced when somebody else writes the log now;
	// there is one, too, and nothing is stored, for another offset and behind Close.
	Append(ctx context.Context, first uint64, events [][]byte) error
	// Fold replaces everything up to an offset by entries, the last of which ends there; the oldest
	// may be missing, and none is a log without what is older. Nobody changes the entries any more.
	Fold(ctx context.Context, through uint64, entries []Entry) error
	// Renew says that the writer lives.
	Renew(ctx context.Context) error
	// Close ends the writing behind the terminal event. The log is kept so long, a tombstone
	// afterwards. A second Close is an error.
	Close(ctx context.Context, keep time.Duration) error
}

// Errors of stores, and of who asks for a run that is not there.
var (
	// ErrGone says that a run, or what lies behind a cursor, is not there, or not for this asker.
	ErrGone = errors.New("agloop: run is gone")
	// ErrTrimmed, ErrOtherEpoch, ErrFuture and ErrBuried are ErrGone with the reason.
	ErrTrimmed    = goneError("trimmed")
	ErrOtherEpoch = goneError("epoch")
	ErrFuture     = goneError("future")
	ErrBuried     = goneError("ended")
	// ErrFenced says that somebody else writes the log.
	ErrFenced = errors.New("agloop: another node has taken the run over")
)

// goneError is ErrGone for the reason it holds, as the wire says it.
type goneError string

func (e goneError) Error() string        { return ErrGone.Error() + ": " + string(e) }
func (e goneError) Is(target error) bool { return target == ErrGone }

// GoneReason is why an error is ErrGone, as the wire says it; "" where that is not known.
func GoneReason(err error) string {
	reason, _ := errors.AsType[goneError](err)
	return string(reason)
}

// ExistsError says that there is a log or a tombstone of that name.
type ExistsError struct{ Record Record }

func (e *ExistsError) Error() string { return "agloop: run exists: " + e.Record.Info.Run }
