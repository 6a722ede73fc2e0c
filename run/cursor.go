package run

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// RunKey names a run.
type RunKey struct {
	// Scope is whose run it is: the key of the principal that asked for it, or what AuthorizeRun
	// gave instead; of who is anonymous it is "", and where runs outlive their connections a
	// session's. Threads and runs of two scopes may have the same names.
	Scope  string
	Thread string
	Run    string
}

// Hash is the key as one string of fixed length: the SHA-256 of scope, thread and run, each behind
// its length, so that no two keys are alike and ids may hold any character.
func (k RunKey) Hash() [sha256.Size]byte {
	b := make([]byte, 0, 3*binary.MaxVarintLen64+len(k.Scope)+len(k.Thread)+len(k.Run))
	for _, s := range [...]string{k.Scope, k.Thread, k.Run} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// MaxOffset is the largest offset of a log: the largest integer that JavaScript counts exactly.
const MaxOffset = 1<<53 - 1

// Cursor is a place in the log of a run: behind the event of that offset. The zero Cursor is the
// start of any log.
type Cursor struct {
	Epoch  uint64 // of the log; random, and another one with each log
	Offset uint64 // of the last event that was applied; the first event, RUN_STARTED, has 1
}

// String is the cursor as text: the epoch in 16 hex digits, "-", the offset.
func (c Cursor) String() string { return FormatEpoch(c.Epoch) + "-" + strconv.FormatUint(c.Offset, 10) }

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	epoch, offset, _ := strings.Cut(s, "-")
	e, ok := ParseEpoch(epoch)
	n, err := strconv.ParseUint(offset, 10, 64)
	if !ok || err != nil || n > MaxOffset || strings.HasPrefix(offset, "+") {
		return Cursor{}, fmt.Errorf("agloop: cursor %.64q is not <16 hex digits>-<offset>", s)
	}
	return Cursor{e, n}, nil
}

// FormatEpoch is an epoch as it travels: 16 hex digits, since JavaScript would round the number.
func FormatEpoch(epoch uint64) string { return fmt.Sprintf("%016x", epoch) }

// ParseEpoch reads what FormatEpoch wrote.
func ParseEpoch(s string) (epoch uint64, ok bool) {
	if len(s) != 16 || strings.ContainsAny(s, "+_ABCDEF") {
		return 0, false
	}
	epoch, err := strconv.ParseUint(s, 16, 64)
	return epoch, err == nil
}

// newEpoch returns the epoch of a new log, which is not 0.
func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return max(binary.LittleEndian.Uint64(b[:]), 1)
}
