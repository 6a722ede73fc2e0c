//go:build aguidebug

package bufpool

import "testing"

func TestUseAfterReleasePanics(t *testing.T) {
	for name, use := range map[string]func(*Buffer){
		"Retain": func(b *Buffer) { b.Retain() },
		"Append": func(b *Buffer) { b.Append([]byte("x")) },
		"Grow":   func(b *Buffer) { b.Grow(1) },
	} {
		for where, n := range map[string]int{"kept": 1, "discarded": MaxSize + 1} {
			t.Run(name+"/"+where, func(t *testing.T) {
				b := New(Config{}).Get(n)
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
}

func TestReleasedMemoryIsPoisoned(t *testing.T) {
	for where, n := range map[string]int{"kept": 1, "discarded": MaxSize + 1} {
		p := New(Config{})
		b := p.Get(n).Append([]byte("secret"))
		kept := b.B
		b.Release()
		for _, c := range kept {
			if c != 0xDB {
				t.Errorf("%s: a slice kept after release shows %q", where, kept)
				break
			}
		}
	}
}
