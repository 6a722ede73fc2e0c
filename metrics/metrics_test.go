package metrics

import (
	"reflect"
	"sync/atomic"
	"testing"
)

// TestEveryCounterIsRead: a counter that AddTo forgets would be zero for ever.
func TestEveryCounterIsRead(t *testing.T) {
	var c Counters
	want := map[string]uint64{}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue // padding
		}
		if n, ok := v.Field(i).Addr().Interface().(*atomic.Uint64); ok {
			n.Store(uint64(100 + i))
			want[v.Type().Field(i).Name] = uint64(100 + i)
		}
	}
	var s Snapshot
	c.AddTo(&s)
	c.AddTo(&s) // adds, not sets
	got := reflect.ValueOf(s)
	if got.NumField() != len(want) {
		t.Errorf("%d counters, %d in the snapshot", len(want), got.NumField())
	}
	for name, n := range want {
		if f := got.FieldByName(name); !f.IsValid() || f.Uint() != 2*n {
			t.Errorf("%s: %v, want %d", name, f, 2*n)
		}
	}
}
