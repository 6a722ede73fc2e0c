package bufpool

import (
	"bytes"
	"sync"
	"testing"
)

func TestClasses(t *testing.T) {
	for _, tc := range []struct{ n, cap int }{
		{0, 256},
		{1, 256},
		{256, 256},
		{257, 512},
		{512, 512},
		{513, 1024},
		{32<<10 + 1, 64 << 10},
		{64 << 10, 64 << 10},
		{64<<10 + 1, 64<<10 + 1},
		{1 << 20, 1 << 20},
	} {
		before := InUse()
		b := Get(tc.n)
		if cap(b.B) != tc.cap || len(b.B) != 0 {
			t.Errorf("Get(%d): len %d cap %d, want 0 %d", tc.n, len(b.B), cap(b.B), tc.cap)
		}
		if got := InUse() - before; got != int64(tc.cap) {
			t.Errorf("Get(%d): %d bytes live, want %d", tc.n, got, tc.cap)
		}
		b.Release()
		if got := InUse() - before; got != 0 {
			t.Errorf("Get(%d): %d bytes live after release", tc.n, got)
		}
	}
}

func TestGrowKeepsContentAndAccounts(t *testing.T) {
	before := InUse()
	b := Get(0)
	var want []byte
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i)}, i%97)
		want = append(want, p...)
		b = b.Append(p)
	}
	if !bytes.Equal(b.B, want) {
		t.Fatal("content differs after growing")
	}
	if got := InUse() - before; got != int64(cap(b.B)) {
		t.Errorf("%d bytes live, want the one buffer's %d", got, cap(b.B))
	}
	b.Release()
	if InUse() != before {
		t.Error("bytes live after release")
	}
}

func TestReferences(t *testing.T) {
	before := InUse()
	b := Get(10)
	b.Retain()
	b.Release()
	if InUse() == before {
		t.Fatal("released while an owner was left")
	}
	b.Release()
	if InUse() != before {
		t.Fatal("not released by the last owner")
	}
}

func TestDoubleReleasePanics(t *testing.T) {
	b := Get(MaxSize + 1) // not pooled: nobody else can have it meanwhile
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second release did not panic")
		}
	}()
	b.Release()
}

func TestGrowOfSharedPanics(t *testing.T) {
	b := Get(1)
	b.Retain()
	defer func() {
		if recover() == nil {
			t.Error("growing a shared buffer did not panic")
		}
		b.Release()
		b.Release()
	}()
	b.Grow(1 << 20)
}

func TestConcurrentAccounting(t *testing.T) {
	before := InUse()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				b := Get((i*37 + g) % (MaxSize + 100)).Append([]byte("x"))
				b.Retain().Release()
				b.Release()
			}
		})
	}
	wg.Wait()
	if InUse() != before {
		t.Errorf("%d bytes live, want %d", InUse(), before)
	}
}
