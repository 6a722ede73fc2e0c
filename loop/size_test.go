package loop

import (
	"testing"
	"unsafe"
)

// TestConnSize holds what a connection costs: the allocator has a class of 128 bytes, and the next
// is 144.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 128 {
		t.Errorf("a Conn takes %d bytes, want 128 at most", size)
	}
	if size := unsafe.Sizeof(entry{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 256 { // a class of the allocator, too
		t.Errorf("an entry takes %d bytes, want 256 at most", size)
	}
	if at := unsafe.Offsetof(Conn{}.used) + 4; at > 64 {
		t.Errorf("what Send needs ends at byte %d, want it in one cache line", at)
	}
}
