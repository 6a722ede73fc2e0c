//go:build aguidebug

package bufpool

import "testing"

func TestUseAfterReleasePanics(t *testing.T) {
	for name, use := range map[string]func(*Buffer){
		"Retain": func(b *Buffer) { b.Retain() },
		"Append": func(b *Buffer) { b.Append([]byte("x")) },
		"Grow":   func(b *Buffer) { b.Grow(1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := Get(MaxSize + 1)
			b.Release()
			defer func() {
				if recover() == nil {
					t.Errorf("%s after release did not panic", name)
				}
			}()
			use(b)
		})
	}
}

func TestReleasedMemoryIsPoisoned(t *testing.T) {
	b := Get(10).Append([]byte("secret"))
	kept := b.B
	b.Release()
	if string(kept) == "secret" {
		t.Error("a slice kept after release still shows the content")
	}
}
