package run_test

import (
	"encoding/hex"
	"testing"

	"github.com/agloop/agloop/run"
)

// TestR1HashKeepsNamesApart: whatever stands in them, and it is the same in every process.
func TestR1HashKeepsNamesApart(t *testing.T) {
	parts := []string{"", "a", "b", "c", "ab", "a|b", "b|c", ".", "*", ">", "\x00", "\x01a", "ä", "a\u0308"}
	seen := map[[32]byte]run.RunKey{}
	for _, scope := range parts {
		for _, thread := range parts {
			for _, id := range parts {
				k := run.RunKey{Scope: scope, Thread: thread, Run: id}
				if other, twice := seen[k.Hash()]; twice {
					t.Errorf("%q and %q have one hash", k, other)
				}
				seen[k.Hash()] = k
			}
		}
	}
	h := run.RunKey{Scope: "s", Thread: "a|b", Run: "c"}.Hash()
	if got := hex.EncodeToString(h[:]); got != "7a06bb6f8f10cc9cf24d48680c44e53ec8ebdb35540e35a051542de072fc3535" {
		t.Errorf("the hash is %s: what is stored by it is not found any more", got)
	}
}

func TestR1CursorsAreText(t *testing.T) {
	for _, tc := range []struct {
		text   string
		cursor run.Cursor
	}{
		{"0000000000000000-0", run.Cursor{}},
		{"0000000000000001-1", run.Cursor{Epoch: 1, Offset: 1}},
		{"fedcba9876543210-9007199254740991", run.Cursor{Epoch: 0xfedcba9876543210, Offset: run.MaxOffset}},
	} {
		if got := tc.cursor.String(); got != tc.text {
			t.Errorf("%v is %s", tc.cursor, got)
		}
		if got, err := run.ParseCursor(tc.text); err != nil || got != tc.cursor {
			t.Errorf("%s is %v, %v", tc.text, got, err)
		}
	}
	for _, text := range []string{
		"", "-", "1-1", "0000000000000001", "0000000000000001-", "-1", "0000000000000001-+1", "0000000000000001--1",
		"0000000000000001-9007199254740992", "0000000000000001-18446744073709551616", "0000000000000001-1.0",
		"000000000000000A-1", "+000000000000001-1", "00000000_0000001-1", "0000000000000001-1-1", "00000000000000001-1", " 0000000000000001-1",
		"0000000000000001-1 ", "0000000000000001-1_0", "000000000000000g-1",
	} {
		if got, err := run.ParseCursor(text); err == nil || got != (run.Cursor{}) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func TestR1Epochs(t *testing.T) {
	for _, epoch := range []uint64{0, 1, 1 << 53, 1<<64 - 1} {
		if got, ok := run.ParseEpoch(run.FormatEpoch(epoch)); !ok || got != epoch {
			t.Errorf("%d is %s is %d", epoch, run.FormatEpoch(epoch), got)
		}
	}
	for _, text := range []string{"", "0", "00000000000000001", "00000000-0000001", "0x00000000000001"} {
		if got, ok := run.ParseEpoch(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}
