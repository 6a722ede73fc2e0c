package main

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"

	"github.com/agloop/agloop/agui"
)

// changedValue is an event that a program may have made: a copy of ev in which a field has another
// value. What it points to may be ev's.
func changedValue(r *rand.Rand, ev agui.Event) agui.Event {
	fresh := reflect.New(reflect.TypeOf(ev).Elem())
	fresh.Elem().Set(reflect.ValueOf(ev).Elem())
	for range 1 + r.IntN(2) {
		changeStruct(r, fresh.Elem())
	}
	return fresh.Interface().(agui.Event)
}

var rawJunk = []string{"", "null", "{}", "[]", "1", `"x"`, "{", `{"a":null}`, `"\ud83d"`, nested(70)}

func changeStruct(r *rand.Rand, v reflect.Value) {
	changeAny(r, v.Field(r.IntN(v.NumField())))
}

// changeAny changes a value, or something in it.
func changeAny(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case json.RawMessage:
		v.SetBytes([]byte(pick(r, rawJunk)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(pick(r, []string{"", "x", "assistant", "tool", "reasoning", "later", "success", "add", "/a", "a/b", "\xff", "\u2028\x00"}))
	case reflect.Int64:
		v.SetInt(pick(r, []int64{0, -1, 1<<53 - 1, 1 << 53, -1 << 53}))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Pointer:
		if v.IsNil() || r.IntN(3) == 0 {
			if !v.IsNil() {
				v.SetZero()
				return
			}
			v.Set(reflect.New(v.Type().Elem()))
		}
		fresh := reflect.New(v.Type().Elem())
		fresh.Elem().Set(v.Elem())
		v.Set(fresh)
		changeAny(r, fresh.Elem())
	case reflect.Struct:
		if v.NumField() > 0 {
			changeStruct(r, v)
		}
	case reflect.Slice:
		switch n := v.Len(); {
		case n == 0 || r.IntN(4) == 0:
			v.Set(pick(r, []reflect.Value{reflect.Zero(v.Type()), reflect.MakeSlice(v.Type(), 0, 0), reflect.MakeSlice(v.Type(), 1, 1)}))
		default:
			fresh := reflect.MakeSlice(v.Type(), n, n)
			reflect.Copy(fresh, v)
			v.Set(fresh)
			changeAny(r, fresh.Index(r.IntN(n)))
		}
	case reflect.Map:
		v.SetZero()
	}
}
